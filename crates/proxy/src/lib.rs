//! One request's life: the ProxyHttp implementation, a file per phase.
