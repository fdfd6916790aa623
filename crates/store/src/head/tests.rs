use super::*;
use std::time::Duration;

fn meta() -> CacheMeta {
    let mut header = ResponseHeader::build(200, None).unwrap();
    header.append_header("SeRvEr", "one").unwrap();
    header.append_header("Set-Thing", "a").unwrap();
    header.append_header("x-Other", "between").unwrap();
    header.append_header("set-thing", "b").unwrap();
    header.set_reason_phrase(Some("Fine")).unwrap();
    header.set_version(http::Version::HTTP_11);
    let now = SystemTime::now();
    CacheMeta::new(now + Duration::from_secs(9), now, 7, 8, header)
}

fn wire(meta: &CacheMeta) -> Vec<u8> {
    let mut wire = Vec::new();
    meta.response_header().header_to_h1_wire(&mut wire);
    wire
}

fn assert_same(one: &CacheMeta, other: &CacheMeta) {
    assert_eq!(wire(one), wire(other));
    assert_eq!(one.response_header().version, other.response_header().version);
    assert_eq!(one.response_header().get_reason_phrase(), other.response_header().get_reason_phrase());
    assert_eq!(one.serialize().unwrap().0, other.serialize().unwrap().0, "all internals");
}

#[test]
fn comes_back_as_it_went_in() {
    let mut meta = meta();
    assert_same(&Head::freeze(&meta).unwrap().thaw().unwrap(), &meta);
    meta.set_variance([3; 16]);
    meta.set_epoch_override(SystemTime::UNIX_EPOCH);
    let head = Head::freeze(&meta).unwrap();
    assert!(head.internals.is_none(), "the quick way");
    assert_same(&head.thaw().unwrap(), &meta);
}

#[test]
fn a_refreshed_one_keeps_when_it_was_updated() {
    let mut meta = meta();
    std::thread::sleep(Duration::from_millis(1));
    meta.update_freshness(SystemTime::now(), 1, 2);
    assert_ne!(meta.updated(), meta.created());
    let head = Head::freeze(&meta).unwrap();
    assert!(head.internals.is_some());
    assert_same(&head.thaw().unwrap(), &meta);
}

#[test]
fn expires_either_way() {
    let mut meta = meta();
    for refresh in [false, true] {
        if refresh {
            std::thread::sleep(Duration::from_millis(1));
            meta.update_freshness(SystemTime::now() + Duration::from_secs(60), 30, 30);
        }
        let mut head = Head::freeze(&meta).unwrap();
        let at = SystemTime::now();
        head.expire_at(at);
        assert_eq!(head.thaw().unwrap().fresh_until(), at);
        head.expire_at(at + Duration::from_secs(5));
        assert_eq!(head.thaw().unwrap().fresh_until(), at, "never later again");
    }
}

#[test]
fn names_without_case_stay_so() {
    let mut header = ResponseHeader::build_no_case(404, None).unwrap();
    header.append_header("x-lower", "1").unwrap();
    let now = SystemTime::now();
    let meta = CacheMeta::new(now, now, 0, 0, header);
    let back = Head::freeze(&meta).unwrap().thaw().unwrap();
    assert!(!back.response_header().has_case());
    assert_same(&back, &meta);
}

#[test]
fn extensions_come_along_except_the_epoch() {
    #[derive(Clone, PartialEq, Debug)]
    struct Policy(u8);
    let mut meta = meta();
    meta.extensions_mut().insert(Policy(4));
    let back = Head::freeze(&meta).unwrap().thaw().unwrap();
    assert_eq!(back.extensions().get::<Policy>(), Some(&Policy(4)));
}

#[test]
fn values_do_not_pin_the_buffer_they_were_parsed_from() {
    let buffer = Bytes::from(vec![b'v'; 64 << 10]);
    let mut header = ResponseHeader::build(200, None).unwrap();
    header.append_header("x", HeaderValue::from_maybe_shared(buffer.slice(10..20)).unwrap()).unwrap();
    let now = SystemTime::now();
    let head = Head::freeze(&CacheMeta::new(now, now, 0, 0, header)).unwrap();
    assert!(buffer.is_unique(), "something still points into it");
    assert!(head.bytes() < 4096);
}

#[test]
fn the_length_of_the_body() {
    let length = |status: u16, value: &str| {
        let mut header = ResponseHeader::build(status, None).unwrap();
        header.append_header("content-length", value).unwrap();
        content_length(&header)
    };
    assert_eq!(length(200, "17"), Some(17));
    assert_eq!(length(404, " 17 "), Some(17));
    assert_eq!(length(304, "17"), None, "a 304 has no body");
    assert_eq!(length(204, "17"), None);
    assert_eq!(length(200, "many"), None);
    assert_eq!(length(200, "-1"), None);
}
