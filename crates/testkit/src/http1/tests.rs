use super::*;

fn read(framing: Framing, pieces: &[&[u8]]) -> Result<(BodyReader, bool, Vec<u8>), String> {
    let (mut reader, mut buffer, mut done) = (BodyReader::new(framing), Vec::new(), false);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        done = reader.advance(&mut buffer)?;
    }
    Ok((reader, done, buffer))
}

#[test]
fn a_head_is_found_and_parsed_in_order() {
    let bytes = b"HTTP/1.1 200 OK\r\nB: 2\r\na:  1 \r\nB: 3\r\n\r\nbody";
    let end = Head::end(bytes).unwrap();
    assert_eq!(&bytes[end..], b"body");
    let head = Head::parse(&bytes[..end]).unwrap();
    assert_eq!(head.status_line().unwrap(), ("HTTP/1.1".into(), 200, "OK".into()));
    assert_eq!(head.headers.iter().collect::<Vec<_>>(), [("B", "2"), ("a", "1"), ("B", "3")]);
    assert_eq!(Head::end(b"HTTP/1.1 200 OK\r\nB: 2\r\n"), None);
}

#[test]
fn a_loose_head_is_refused() {
    let heads: [&[u8]; 7] = [
        b"HTTP/1.1 200 OK\nA: 1\n\n",
        b"HTTP/1.1 200 OK\r\nA : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: a\rb\r\n\r\n",
    ];
    for head in heads {
        assert_eq!(Head::end(head), Some(head.len()), "{:?}", String::from_utf8_lossy(head));
        assert!(Head::parse(head).is_err(), "{:?}", String::from_utf8_lossy(head));
    }
}

#[test]
fn start_lines_are_strict() {
    for start in ["HTTP/2 200 OK", "HTTP/1.1 20 OK", "HTTP/1.1  200 OK", "HTTP/1.1 600 X", "garbage"] {
        let head = Head { start: start.into(), headers: Headers::new() };
        assert!(head.status_line().is_err(), "{start}");
    }
    for start in ["GET / HTTP/1.1 ", "GET  / HTTP/1.1", "GET / HTTP/2.0", "GET /", " / HTTP/1.1"] {
        let head = Head { start: start.into(), headers: Headers::new() };
        assert!(head.request_line().is_err(), "{start}");
    }
}

#[test]
fn framing_follows_the_fields_and_refuses_contradictions() {
    let fields = |list: &[(&str, &str)]| list.iter().copied().collect::<Headers>();
    let of = |list: &[(&str, &str)]| Framing::of_response("GET", 200, &fields(list));
    assert_eq!(of(&[]), Ok(Framing::UntilClose));
    assert_eq!(of(&[("content-length", "3")]), Ok(Framing::Length(3)));
    assert_eq!(of(&[("Transfer-Encoding", "Chunked")]), Ok(Framing::Chunked));
    assert!(of(&[("content-length", "3"), ("transfer-encoding", "chunked")]).is_err());
    assert!(of(&[("content-length", "3"), ("content-length", "3")]).is_err());
    assert!(of(&[("content-length", "+3")]).is_err());
    assert!(of(&[("transfer-encoding", "gzip, chunked")]).is_err());
    let length = fields(&[("content-length", "3")]);
    assert_eq!(Framing::of_response("HEAD", 200, &length), Ok(Framing::None));
    assert_eq!(Framing::of_response("GET", 304, &length), Ok(Framing::None));
    assert!(Framing::of_response("GET", 204, &length).is_err());
}

#[test]
fn chunks_come_in_any_pieces_and_leave_the_rest() {
    let bytes = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nEtag: 1\r\n\r\nnext";
    for cut in 0..bytes.len() {
        let (reader, done, rest) = read(Framing::Chunked, &[&bytes[..cut], &bytes[cut..]]).unwrap();
        assert!(done);
        assert_eq!((reader.data.as_slice(), rest.as_slice()), (&b"abcde"[..], &b"next"[..]));
        assert_eq!((reader.chunks.as_slice(), reader.trailers.get("etag")), (&[3, 2][..], Some("1")));
    }
}

#[test]
fn broken_chunks_are_errors() {
    let broken: [&[u8]; 6] =
        [b"3\nabc\r\n", b"3\r\nabcd\r\n", b"\r\n", b"-1\r\n", b"0x3\r\n", b"fffffffffffffffff\r\n"];
    for bytes in broken {
        assert!(read(Framing::Chunked, &[bytes]).is_err(), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn an_unfinished_body_says_what_is_missing() {
    let (reader, done, _) = read(Framing::Length(5), &[b"abc"]).unwrap();
    assert!(!done && !reader.ends_at_close());
    assert_eq!(reader.awaited(), "2 more bytes of the content-length");
    let (reader, done, _) = read(Framing::UntilClose, &[b"abc"]).unwrap();
    assert!(!done && reader.ends_at_close());
}
