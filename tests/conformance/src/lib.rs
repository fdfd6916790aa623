//! End-to-end tests: conformance. The tests are in `tests/`; each starts a real `seawall` process.
