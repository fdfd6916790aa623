//! End-to-end tests: resilience. The tests are in `tests/`; each starts a real `seawall` process.
