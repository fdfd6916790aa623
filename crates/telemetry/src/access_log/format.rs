//! A record as a line.

use std::time::Duration;

use super::record::{AccessRecord, Listener};
use crate::text::{Clock, push_apache, push_ip, push_json, push_seconds, push_socket, push_u64};

/// Appends `{"time":…,…}` and a line end. The keys always come in this order; those without a value are left out.
pub(super) fn json(out: &mut Vec<u8>, clock: &mut Clock, record: &AccessRecord<'_>, most: usize) {
    out.extend_from_slice(b"{\"time\":\"");
    clock.push_rfc3339(out, record.time);
    out.push(b'"');
    let mut object = Object { out, most };
    object.text("request_id", record.request_id.as_bytes());
    // An address needs no escapes.
    if let Some(client) = record.client {
        object.key("client");
        object.out.push(b'"');
        push_ip(object.out, client);
        object.out.push(b'"');
    }
    match record.listener {
        Listener::Tcp(address) => {
            object.key("listener");
            object.out.push(b'"');
            push_socket(object.out, address);
            object.out.push(b'"');
        }
        Listener::Other(name) => object.text("listener", name.as_bytes()),
    }
    object.text("scheme", record.scheme.as_bytes());
    object.text("host", record.host);
    object.text("method", record.method);
    object.text("uri", record.uri);
    object.text("protocol", record.protocol.as_bytes());
    object.number("status", record.status.into());
    object.number("bytes_sent", record.bytes_sent);
    object.number("bytes_received", record.bytes_received);
    object.seconds("duration", Some(record.duration));
    object.seconds("upstream_duration", record.upstream_duration);
    object.seconds("ttfb", record.first_byte);
    object.text("site", record.site.as_bytes());
    object.text("route", record.route.as_bytes());
    object.text("upstream", record.upstream.as_bytes());
    object.text("server", record.server.as_bytes());
    if record.tries > 0 {
        object.number("tries", record.tries.into());
    }
    object.text("cache", record.cache.label().as_bytes());
    object.text("cache_status", record.cache_status);
    object.text("encoding", record.encoding);
    object.text("referer", record.referer);
    object.text("user_agent", record.user_agent);
    object.text("error", record.error.as_bytes());
    out.extend_from_slice(b"}\n");
}

/// The members of an object after its first.
struct Object<'a> {
    out: &'a mut Vec<u8>,
    most: usize,
}

impl Object<'_> {
    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &str, value: &[u8]) {
        if !value.is_empty() {
            self.key(key);
            self.out.push(b'"');
            push_json(self.out, value, self.most);
            self.out.push(b'"');
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        push_u64(self.out, value);
    }

    fn seconds(&mut self, key: &str, value: Option<Duration>) {
        if let Some(value) = value {
            self.key(key);
            push_seconds(self.out, value);
        }
    }
}

/// Appends a line as Apache's `"%h - - %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""`.
pub(super) fn combined(out: &mut Vec<u8>, clock: &mut Clock, record: &AccessRecord<'_>, most: usize) {
    match record.client {
        Some(client) => push_ip(out, client),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - - [");
    clock.push_apache(out, record.time);
    out.extend_from_slice(b"] \"");
    push_apache(out, record.method, most);
    out.push(b' ');
    push_apache(out, record.uri, most);
    out.push(b' ');
    push_apache(out, record.protocol.as_bytes(), most);
    out.extend_from_slice(b"\" ");
    push_u64(out, record.status.into());
    out.push(b' ');
    match record.bytes_sent {
        0 => out.push(b'-'),
        sent => push_u64(out, sent),
    }
    for value in [record.referer, record.user_agent] {
        out.extend_from_slice(b" \"");
        push_apache(out, if value.is_empty() { b"-" } else { value }, most);
        out.push(b'"');
    }
    out.push(b'\n');
}
