//! The open edge proxy: one YAML file to cached, load-balanced, observed traffic.
fn main() {}
