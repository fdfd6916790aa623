//! The metric registry, the access log, the process log.
