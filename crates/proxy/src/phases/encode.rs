//! The content coding of what comes from an origin: chosen when the request begins, made on the way into the store.
//!
//! The store and the client get the same bytes, so a variant is coded once, whoever asks for it later. What tells the
//! variants apart is the ordinary Vary: the request's Accept-Encoding becomes the one coding that was chosen, so that
//! there is one variant for each, however many ways clients have to say it. The rules are [`seawall_compress`]'s.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ETAG, HeaderValue, IF_NONE_MATCH, IF_RANGE, RANGE, VARY};
use http::{HeaderMap, Method, StatusCode};
use pingora_core::modules::http::{HttpModule, HttpModuleBuilder, Module};
use pingora_error::{BError, Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use seawall_caching::partial::ContentRange;
use seawall_caching::request::wants_upgrade;
use seawall_compress::representation::{self, HeadChange, UNCODED_ETAG};
use seawall_compress::{AskOrigin, Coding, Stream, StreamOptions, is_grpc};
use seawall_telemetry::metrics::{CompressionSample, Metrics};

use crate::context::Context;

/// What was agreed with the client of a route that compresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agreed {
    /// The coding of what may be coded; `None`: the content as it is.
    chosen: Option<Coding>,
    /// The client asks for a range of what has not changed since a date, which says nothing about its coding.
    dated_range: bool,
    /// The head of the answer is all of it.
    headless: bool,
}

/// Chooses the coding, and makes the request say so: to the cache, and to the origin.
pub(crate) fn negotiate(session: &mut Session, ctx: &mut Context) {
    let Some(policy) = ctx.route.as_ref().and_then(|route| route.compress.as_ref()) else { return };
    let head = session.req_header();
    let (method, headers) = (&head.method, &head.headers);
    // gRPC is always a POST. What is said of a GET, which may be stored, must be said of every GET.
    let grpc = !matches!(*method, Method::GET | Method::HEAD) && is_grpc(headers);
    if ctx.purge || grpc || wants_upgrade(headers) {
        return;
    }
    let chosen = policy.choose(headers);
    let dated_range = headers.contains_key(RANGE) && representation::is_dated(headers);
    ctx.encoding = Some(Agreed { chosen, dated_range, headless: false });
    let value = HeaderValue::from_static(chosen.map_or("identity", Coding::token));
    if let Err(error) = session.req_header_mut().insert_header(ACCEPT_ENCODING, value) {
        log::warn!("a request field could not be normalised: {error}");
    }
}

/// Whether a range may be asked of the origin as it is.
pub(crate) fn may_ask_for_part(ctx: &Context) -> bool {
    !ctx.encoding.is_some_and(|agreed| agreed.dated_range)
}

/// Whether a range may be cut out of this response. One that is coded as it comes has none: coded again it would be
/// other bytes.
pub(crate) fn may_cut(request: &HeaderMap, response: &HeaderMap) -> bool {
    let coded_elsewhere = || representation::names_encoding(response) && representation::is_dated(request);
    !representation::is_ours(response) && !coded_elsewhere()
}

/// What the origin is asked.
pub(crate) fn ask(session: &Session, request: &mut RequestHeader, ctx: &Context) -> Result<()> {
    if let Some(agreed) = ctx.encoding {
        let policy = ctx.route.as_ref().and_then(|route| route.compress.as_ref());
        if policy.is_some_and(|policy| policy.ask_origin() == AskOrigin::Identity) {
            request.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))?;
        }
        if agreed.dated_range {
            request.remove_header(&RANGE);
            request.remove_header(&IF_RANGE);
        }
    }
    // The stored tag is one that we made; the origin knows its own.
    let stored = session.cache.maybe_cache_meta().map(|meta| meta.headers());
    if let Some(tag) = stored.and_then(representation::uncoded_etag)
        && request.headers.contains_key(IF_NONE_MATCH)
    {
        request.insert_header(IF_NONE_MATCH, tag.clone())?;
    }
    Ok(())
}

/// A 304 about a stored response with a coding of ours, put into terms of that one; before it is compared and merged.
/// False when it forbids what was done to the content.
pub(crate) fn restate(stored: &HeaderMap, response: &mut ResponseHeader) -> Result<bool> {
    response.remove_header(&UNCODED_ETAG);
    if representation::names_encoding(stored) && response.headers.contains_key(VARY) {
        name_encoding(response)?;
    }
    if !representation::is_ours(stored) {
        return Ok(true);
    }
    let change = representation::restated(&response.headers);
    apply(response, change)?;
    Ok(!seawall_compress::forbids_transform(&response.headers))
}

/// Notes what only shows beside the head: whether a body follows.
pub(crate) fn announce(session: &mut Session, end: bool, ctx: &mut Context) {
    if let Some(agreed) = &mut ctx.encoding {
        agreed.headless = end;
    }
    // A try before this one may have got as far as a body.
    if let Some(encoder) = session.upstream_modules_ctx.get_mut::<Encoder>() {
        encoder.0 = None;
    }
}

/// The head of an answer, after everybody else has seen it: decides whether the content is coded, and begins.
pub(crate) fn begin(session: &mut Session, response: &mut ResponseHeader, ctx: &mut Context) -> Result<()> {
    response.remove_header(&UNCODED_ETAG);
    let Some(agreed) = ctx.encoding else { return Ok(()) };
    let Some(policy) = ctx.route.as_ref().and_then(|route| route.compress.as_ref()) else { return Ok(()) };
    if response.status == StatusCode::NOT_MODIFIED {
        // The client's own question, answered by the origin.
        let request = &session.req_header().headers;
        if let Some(tag) = representation::echoed_etag(request, &response.headers) {
            response.insert_header(ETAG, tag)?;
            name_encoding(response)?;
        }
        return Ok(());
    }
    let passed = ctx.plan.metrics.compression().passed();
    if response.status == StatusCode::PARTIAL_CONTENT {
        passed.inc(seawall_compress::Unfit::Status.as_str());
        // A part of what would be coded as a whole: caches must not give it to everyone.
        let complete = ContentRange::of(&response.headers).and_then(|range| range.complete);
        if policy.assess_whole(&response.headers, complete).is_ok() {
            name_encoding(response)?;
        }
        return Ok(());
    }
    if let Err(unfit) = policy.assess(response.status, &response.headers) {
        passed.inc(unfit.as_str());
        return Ok(());
    }
    name_encoding(response)?;
    let Some(coding) = agreed.chosen else {
        passed.inc("not_accepted");
        return Ok(());
    };
    let change = representation::coded(&response.headers, coding);
    if agreed.headless {
        // HEAD says what GET would say; anything else without content has nothing to code.
        if session.req_header().method == Method::HEAD {
            return apply(response, change);
        }
        passed.inc("empty");
        return Ok(());
    }
    let length = seawall_compress::content_length(&response.headers);
    let options = StreamOptions { coding, level: policy.level(coding), length };
    let Some(running) = Running::begin(options, &ctx.plan.metrics)? else {
        passed.inc("busy");
        return Ok(());
    };
    let Some(encoder) = session.upstream_modules_ctx.get_mut::<Encoder>() else {
        return Err(Error::explain(ErrorType::InternalError, "no place for an encoder").into_in());
    };
    encoder.0 = Some(Box::new(running));
    apply(response, change)
}

/// A piece of the body, after everybody else has seen it.
pub(crate) fn piece(session: &mut Session, body: &mut Option<Bytes>, end: bool, ctx: &Context) -> Result<()> {
    if ctx.encoding.is_none_or(|agreed| agreed.chosen.is_none()) {
        return Ok(());
    }
    match session.upstream_modules_ctx.get_mut::<Encoder>() {
        Some(encoder) => encoder.piece(body, end),
        None => Ok(()),
    }
}

fn name_encoding(response: &mut ResponseHeader) -> Result<()> {
    if !representation::names_encoding(&response.headers) {
        response.append_header(VARY, HeaderValue::from_static("accept-encoding"))?;
    }
    Ok(())
}

fn apply(response: &mut ResponseHeader, change: HeadChange) -> Result<()> {
    for name in &change.remove {
        response.remove_header(name);
    }
    for (name, value) in change.set {
        response.insert_header(name, value)?;
    }
    Ok(())
}

/// The encoder of the body that is on its way, if any.
///
/// It is a module of Pingora's because only to modules the end of a body is told that trailers follow; pieces come
/// through [`piece`], behind the phases that look at the content as it was.
#[derive(Default)]
pub(crate) struct Encoder(Option<Box<Running>>);

impl Encoder {
    fn piece(&mut self, body: &mut Option<Bytes>, end: bool) -> Result<()> {
        let Some(running) = &mut self.0 else { return Ok(()) };
        let content = body.take().unwrap_or_default();
        let coded = running.piece(&content, end)?;
        if end {
            running.complete = true;
            self.0 = None;
        }
        // An empty piece would pass for the end.
        *body = (!coded.is_empty()).then_some(coded);
        Ok(())
    }

    /// What is still inside, when the end comes without a piece.
    fn rest(&mut self) -> Result<Option<Bytes>> {
        if self.0.is_none() {
            return Ok(None);
        }
        let mut body = None;
        self.piece(&mut body, true)?;
        Ok(body)
    }
}

#[async_trait]
impl HttpModule for Encoder {
    fn response_trailer_filter(&mut self, _: &mut Option<Box<HeaderMap>>) -> Result<Option<Bytes>> {
        // They go: Pingora takes either the end of the body or trailers. RFC 9110 §6.5.1 allows it.
        self.rest()
    }

    fn response_done_filter(&mut self) -> Result<Option<Bytes>> {
        self.rest()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Makes the place for an encoder in each session.
pub(crate) struct EncoderPlace;

impl HttpModuleBuilder for EncoderPlace {
    fn init(&self) -> Module {
        Box::new(Encoder::default())
    }
}

/// A body in an encoder; it is counted when it goes.
struct Running {
    stream: Stream,
    metrics: Arc<Metrics>,
    /// Bytes set aside for it.
    memory: u64,
    complete: bool,
}

impl Running {
    /// `None` when encoders hold all the memory that they may.
    fn begin(options: StreamOptions, metrics: &Arc<Metrics>) -> Result<Option<Self>> {
        let memory = options.memory();
        if !metrics.compression().begin(memory) {
            return Ok(None);
        }
        match Stream::new(options) {
            Ok(stream) => Ok(Some(Self { stream, metrics: Arc::clone(metrics), memory, complete: false })),
            Err(error) => {
                metrics.compression().ended(memory, &CompressionSample::nothing(options.coding.token()));
                Err(failed(&error))
            }
        }
    }

    fn piece(&mut self, content: &[u8], last: bool) -> Result<Bytes> {
        let coded = if self.stream.is_slow(content.len()) && others_can_go_on() {
            tokio::task::block_in_place(|| self.stream.piece(content, last))
        } else {
            self.stream.piece(content, last)
        };
        coded.map_err(|error| failed(&error))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let sample = CompressionSample {
            coding: self.stream.coding().token(),
            complete: self.complete,
            content_bytes: self.stream.content_bytes(),
            coded_bytes: self.stream.coded_bytes(),
            took: self.stream.took(),
        };
        self.metrics.compression().ended(self.memory, &sample);
    }
}

/// Whether another thread can take over what waits for this one.
fn others_can_go_on() -> bool {
    use tokio::runtime::{Handle, RuntimeFlavor};
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

fn failed(error: &std::io::Error) -> BError {
    Error::explain(ErrorType::InternalError, format!("the content could not be coded: {error}")).into_in()
}
