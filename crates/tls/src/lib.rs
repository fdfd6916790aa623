//! Certificates: loading, checking, choosing by SNI.
