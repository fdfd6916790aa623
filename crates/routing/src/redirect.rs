//! Sending the client elsewhere.

use std::str::FromStr;

use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use seawall_config::{Diagnostics, Path};
use serde::{Deserialize, Serialize};

use crate::template::{Piece, Template, Values};
use crate::{Captures, TemplateError};

#[cfg(test)]
mod tests;

/// A redirect. As a short form the text of `to` stands for the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedirectSettings {
    /// The new address: a path on the same host (`/new/{id}`) or a whole one (`https://www.example.com{uri}`).
    /// Placeholders: `{host}` (without port), `{path}`, `{query}` (without `?`), `{uri}` (path and query), and
    /// the captures of `pattern` and `regex` by name or number. The query is only kept where `{query}` or
    /// `{uri}` stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The status: 301, 302, 303, 307 or 308. 307 and 308 keep method and body; 301 and 308 are permanent.
    pub status: u16,
    /// Instead of `to`: the same address with `https`, port 443. Requests that came over TLS, to us or to a
    /// trusted proxy in front, are not redirected: the route's `upstream` or `respond` answers them, and without
    /// either they get 404.
    pub https: bool,
}

impl Default for RedirectSettings {
    fn default() -> Self {
        Self { to: None, status: 308, https: false }
    }
}

impl FromStr for RedirectSettings {
    type Err = RedirectError;

    fn from_str(text: &str) -> Result<Self, RedirectError> {
        let settings = Self { to: Some(text.to_owned()), ..Self::default() };
        Redirect::new(&settings).map(|_| settings)
    }
}

/// Why a redirect is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// Neither `to` nor `https`.
    #[error("the redirect has no target; give it `to`, or `https: true`")]
    NoTarget,
    /// Both.
    #[error(
        "the redirect has `to` and `https: true`; `https: true` is short for `to: \"https://{{host}}{{uri}}\"` on plain requests"
    )]
    TwoTargets,
    /// Not a redirect status.
    #[error("{0} is not a redirect status; use 301, 302, 303, 307 or 308")]
    Status(u16),
    /// A bad template.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// Neither a path nor an http address.
    #[error(
        "the target is neither a path nor an `http://` or `https://` address, so a request could choose where it leads; begin it with `/`, `{{path}}`, `{{uri}}`, `https://`"
    )]
    Start,
    /// `//host`.
    #[error("the target begins with `//`, which is another host; write `https://` in front")]
    TwoSlashes,
    /// Something other than `{host}` and literal text in the host of the target.
    #[error(
        "the target's host may only be made of text and `{{host}}`, and a path must follow it with a slash, so that a request cannot choose where it leads"
    )]
    Authority,
}

/// What a redirect needs of the request.
#[derive(Debug, Clone, Copy)]
pub struct RequestParts<'a> {
    /// Whether the client came over TLS.
    pub tls: bool,
    /// The host, from [`normalize_host`](crate::normalize_host).
    pub host: &'a str,
    /// The path, from [`normalize_path`](crate::normalize_path).
    pub path: &'a str,
    /// The query without `?`; none when there is no `?`.
    pub query: Option<&'a str>,
}

/// A checked redirect.
#[derive(Debug, Clone)]
pub struct Redirect {
    to: Template,
    status: StatusCode,
    only_plain: bool,
    relative: bool,
}

impl Redirect {
    /// From its settings.
    ///
    /// # Errors
    /// When the status is no redirect, or the target is missing or could lead wherever a request wants.
    pub fn new(settings: &RedirectSettings) -> Result<Self, RedirectError> {
        let status = match settings.status {
            301 | 302 | 303 | 307 | 308 => StatusCode::from_u16(settings.status),
            other => return Err(RedirectError::Status(other)),
        };
        let status = status.map_err(|_| RedirectError::Status(settings.status))?;
        let text = match (&settings.to, settings.https) {
            (Some(_), true) => return Err(RedirectError::TwoTargets),
            (None, false) => return Err(RedirectError::NoTarget),
            (Some(to), false) => to,
            (None, true) => "https://{host}{uri}",
        };
        let to = Template::parse(text)?;
        let relative = check_start(&to)?;
        Ok(Self { to, status, only_plain: settings.https, relative })
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The captures it wants of the route's condition.
    pub fn wanted_captures(&self) -> impl Iterator<Item = &str> {
        self.to.captures()
    }

    /// Whether requests over such a connection are redirected at all: `https: true` leaves those over TLS
    /// to the rest of the route.
    #[must_use]
    pub fn applies_to(&self, tls: bool) -> bool {
        !(self.only_plain && tls)
    }

    /// The value of `Location`; none when this request is not redirected, which is when the redirect does
    /// not apply to its connection, or when the target has `{host}` and the request has no host.
    ///
    /// It is visible ASCII, and nothing in the request can make it lead to a host that the settings do not
    /// name: a target without a host begins with exactly one slash.
    #[must_use]
    pub fn location(&self, request: &RequestParts<'_>, captures: &Captures) -> Option<HeaderValue> {
        let text = self.location_text(request, captures)?;
        // The template renders visible ASCII only, so the fallback is never taken; it keeps this total.
        Some(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("/")))
    }

    pub(crate) fn location_text(&self, request: &RequestParts<'_>, captures: &Captures) -> Option<String> {
        let RequestParts { tls, host, path, query } = *request;
        // `https:///evil` leads to `evil`: clients skip empty authorities.
        if !self.applies_to(tls) || (host.is_empty() && self.to.pieces().contains(&Piece::Host)) {
            return None;
        }
        let mut text = self.to.render(&Values { host, path, query, captures });
        if query.unwrap_or_default().is_empty() && text.ends_with(['?', '&']) {
            text.pop();
        }
        if self.relative && text.starts_with("//") {
            text.replace_range(..text.len() - text.trim_start_matches('/').len(), "/");
        }
        Some(text)
    }
}

impl RedirectSettings {
    /// Reports what is wrong; `at` is the redirect.
    pub fn check(&self, at: &Path, out: &mut Diagnostics) {
        let Err(error) = Redirect::new(self) else { return };
        let place = match &error {
            RedirectError::Status(_) => at.key("status"),
            RedirectError::NoTarget | RedirectError::TwoTargets => at.clone(),
            _ => at.key("to"),
        };
        let text = error.to_string();
        match text.split_once("; ") {
            Some((message, hint)) => out.error(&place, message).hint(hint),
            None => out.error(&place, text),
        };
    }
}

/// Whether the target is a path on the same host; refuses a target whose host a request could choose.
fn check_start(to: &Template) -> Result<bool, RedirectError> {
    let (first, rest) = to.pieces().split_first().ok_or(RedirectError::Start)?;
    match first {
        Piece::Path | Piece::Uri => Ok(true),
        Piece::Literal(text) if text.starts_with("//") => Err(RedirectError::TwoSlashes),
        Piece::Literal(text) if text.starts_with('/') => Ok(true),
        Piece::Literal(text) => {
            let after = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
            check_authority(after.ok_or(RedirectError::Start)?, rest).map(|()| false)
        }
        _ => Err(RedirectError::Start),
    }
}

/// `first` is the literal text after the scheme.
fn check_authority(first: &str, rest: &[Piece]) -> Result<(), RedirectError> {
    let mut empty = true;
    let mut texts = Some(first).into_iter().map(Ok).chain(rest.iter().map(|piece| match piece {
        Piece::Literal(text) => Ok(text.as_str()),
        other => Err(other),
    }));
    let ended = texts.try_for_each(|piece| match piece {
        Ok(text) => {
            let host = text.split(['/', '?', '#']).next().unwrap_or_default();
            if !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) {
                return Err(RedirectError::Authority);
            }
            empty &= host.is_empty();
            if host.len() < text.len() { Err(RedirectError::Start) } else { Ok(()) }
        }
        Err(Piece::Host) => {
            empty = false;
            Ok(())
        }
        // Both begin with a slash.
        Err(Piece::Path | Piece::Uri) => Err(RedirectError::Start),
        Err(_) => Err(RedirectError::Authority),
    });
    match ended {
        Err(RedirectError::Authority) => Err(RedirectError::Authority),
        _ if empty => Err(RedirectError::Authority),
        _ => Ok(()),
    }
}
