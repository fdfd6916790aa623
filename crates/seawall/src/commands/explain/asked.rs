//! The request to explain.

use std::net::IpAddr;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use seawall_proxy::Forwarding;
use seawall_routing::{normalize_host, normalize_path};

use crate::cli::ExplainArgs;
use crate::commands::Failure;

/// The request as it was asked for.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) url: String,
    /// Whether the client came over TLS, to this node or to a trusted proxy in front.
    pub(super) https: bool,
    /// As it was written, with its port.
    pub(super) authority: String,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    /// The other end of the connection.
    pub(super) peer: IpAddr,
    /// The client, as far as its word or that of a trusted peer goes.
    pub(super) client: IpAddr,
}

impl Asked {
    /// The request, or why it would be refused whatever the routes are.
    pub(super) fn parse(
        args: &ExplainArgs,
        forwarding: &Forwarding,
    ) -> Result<Result<Self, String>, Failure> {
        let bad = |what: &str, why: String| Failure::sentence(format!("{what}: {why}"));
        let method =
            args.method.parse().map_err(|_| bad("-X", format!("`{}` is not a method", args.method)))?;
        // A path alone takes its host from -H.
        let whole = args.url.contains("://") || args.url.starts_with('/');
        let url = if whole { args.url.clone() } else { format!("http://{}", args.url) };
        let uri: Uri = url.parse().map_err(|error| bad("the URL", format!("`{}`: {error}", args.url)))?;
        let headers = headers(&args.headers).map_err(|wrong| bad("-H", wrong))?;
        let authority = match headers.get(HOST).and_then(|host| host.to_str().ok()) {
            Some(host) => host.to_owned(),
            None => uri.authority().map(ToString::to_string).unwrap_or_default(),
        };
        // HTTP/1.0 may come without a host; that is the default site's.
        let host = match authority.as_str() {
            "" => String::new(),
            written => match normalize_host(written) {
                Ok(host) => host.into_owned(),
                Err(error) => return Ok(Err(format!("the host `{written}`: {error}"))),
            },
        };
        let path = match normalize_path(uri.path()) {
            Ok(path) => path.into_owned(),
            Err(error) => return Ok(Err(format!("the path `{}`: {error}", uri.path()))),
        };
        let tls = uri.scheme_str() == Some("https");
        let client = forwarding.client(Some(args.client), &headers);
        Ok(Ok(Self {
            method,
            url: args.url.clone(),
            https: client.forwarded_https(&headers).unwrap_or(tls),
            authority,
            host,
            path,
            query: uri.query().map(str::to_owned),
            peer: args.client,
            client: client.address.unwrap_or(args.client),
            headers,
        }))
    }

    /// Path and query.
    pub(super) fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The scheme of the cache key.
    pub(super) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

fn headers(written: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for line in written {
        let wrong = || format!("`{line}` is not `Name: value`");
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        headers.append(name, HeaderValue::from_str(value.trim()).map_err(|_| wrong())?);
    }
    Ok(headers)
}
