//! For tests only: origins, raw clients, a handle on a running seawall process.
