//! End-to-end tests: security. The tests are in `tests/`; each starts a real `seawall` process.
