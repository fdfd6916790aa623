//! The cache engine: a bounded, sharded S3-FIFO memory tier behind pingora_cache::Storage.
