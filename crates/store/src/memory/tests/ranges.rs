use super::*;
use crate::{FILL_FAILED, OUT_OF_RANGE};

fn numbers(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 239) as u8).collect()
}

#[tokio::test]
async fn ranges_of_a_complete_object() {
    let store = store_of(ByteSize::mib(4));
    let (key, body) = (key("/"), numbers(200_000));
    put(store, &key, &body).await;
    let (_, mut hit) = find(store, &key).await.unwrap();
    assert!(hit.can_seek() && hit.can_seek_multipart());
    for (from, to) in [(0, 1), (0, 200_000), (65_535, 65_537), (65_536, 131_072), (199_999, 200_000), (7, 7)]
    {
        hit.seek(from, Some(to)).unwrap();
        assert!(read_all(&mut hit).await.unwrap() == body[from..to], "{from}-{to}");
    }
    hit.seek_multipart(199_990, Some(300_000)).unwrap();
    assert_eq!(read_all(&mut hit).await.unwrap(), body[199_990..], "an end behind the last byte is cut");
    hit.seek(100_000, None).unwrap();
    assert!(read_all(&mut hit).await.unwrap() == body[100_000..]);
    hit.seek(200_000, None).unwrap();
    assert!(read_all(&mut hit).await.unwrap().is_empty());
    for (from, to) in [(200_001, None), (10, Some(9)), (usize::MAX, Some(usize::MAX))] {
        assert_eq!(hit.seek(from, to).unwrap_err().etype(), &OUT_OF_RANGE, "{from}");
    }
}

#[tokio::test]
async fn ranges_of_an_empty_body() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/empty");
    begin(store, &key, &meta(Some(0))).await.finish().await.unwrap();
    let (_, mut hit) = find(store, &key).await.unwrap();
    hit.seek(0, Some(10)).unwrap();
    assert!(read_all(&mut hit).await.unwrap().is_empty());
    assert!(hit.seek(1, None).is_err());
}

#[tokio::test]
async fn ranges_of_a_running_fill_are_waited_for() {
    let store = store_of(ByteSize::mib(4));
    let (key, body) = (key("/"), numbers(150_000));
    let mut miss = begin(store, &key, &meta(Some(body.len()))).await;
    let (_, mut early) = find(store, &key).await.unwrap();
    early.seek(100, Some(200)).unwrap();
    let (_, mut late) = find(store, &key).await.unwrap();
    late.seek(140_000, Some(150_000)).unwrap();
    let late = tokio::spawn(async move { read_all(&mut late).await });
    write(&mut miss, &body[..1000]).await;
    assert_eq!(read_all(&mut early).await.unwrap(), body[100..200], "without the end of the fill");
    early.seek_multipart(10, Some(20)).unwrap();
    assert_eq!(read_all(&mut early).await.unwrap(), body[10..20], "backwards too");
    assert!(!late.is_finished());
    write(&mut miss, &body[1000..]).await;
    miss.finish().await.unwrap();
    assert!(late.await.unwrap().unwrap() == body[140_000..]);
}

#[tokio::test]
async fn a_range_the_fill_never_reaches_is_an_error() {
    let store = store_of(ByteSize::mib(4));
    let key = key("/");
    let mut miss = begin(store, &key, &meta(None)).await;
    write(&mut miss, b"12345").await;
    let (_, mut beyond) = find(store, &key).await.unwrap();
    beyond.seek(6, None).unwrap();
    let (_, mut at_end) = find(store, &key).await.unwrap();
    at_end.seek(5, None).unwrap();
    miss.finish().await.unwrap();
    assert_eq!(read_all(&mut beyond).await.unwrap_err().etype(), &OUT_OF_RANGE);
    assert!(read_all(&mut at_end).await.unwrap().is_empty());

    let mut miss = begin(store, &key, &meta(Some(9))).await;
    write(&mut miss, b"12345").await;
    let (_, mut range) = find(store, &key).await.unwrap();
    assert!(range.seek(10, None).is_err(), "the length is known");
    range.seek(3, Some(7)).unwrap();
    drop(miss);
    assert_eq!(read_all(&mut range).await.unwrap_err().etype(), &FILL_FAILED, "45 is not all of it");
}
