//! What holds of whatever request targets and headers a client sends. Here for the targets in fuzz/, and for the tests
//! that hold the seeds to it.

use bytes::Bytes;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use sessile_core::{
    BaseUri, Bucket, Condition, Header, LogTime, MAX_CONDITION_VERSIONS, MAX_KEY_BYTES, MAX_TTL, NamespaceTable,
    Record, Version,
};

use crate::condition::{ReadCondition, Verdict, WriteCondition, entity_tag};
use crate::ttl_header::{self, TTL};
use crate::{prefer, target};

/// A path is refused, or names the key that its percent-encoding names too.
pub fn key(bytes: &[u8]) {
    let (table, base) = (NamespaceTable::default(), BaseUri::default());
    if let Ok(uri) = Uri::try_from(bytes) {
        path(&table, &base, uri.path());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        path(&table, &base, text);
        path(&table, &base, &format!("{base}{text}"));
    }
}

fn path(table: &NamespaceTable, base: &BaseUri, path: &str) {
    let shown = target::instance(path);
    let Ok(target::Target { key, .. }) = target::of(table, path) else { return };
    let bytes = key.as_bytes();
    assert!((1..=MAX_KEY_BYTES).contains(&bytes.len()));
    assert!(!bytes.contains(&b'/') && std::str::from_utf8(bytes).is_ok());
    assert_eq!(shown.as_bytes(), [base.as_str().as_bytes(), bytes].concat());
    let escaped: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
    let again = format!("{base}{escaped}");
    assert_eq!(target::of(table, &again).ok().map(|target| target.key), Some(key));
}

/// Headers, one a line, each begun by the letter that names it: they are refused, or mean the same for reads and writes.
pub fn headers(bytes: &[u8]) {
    let headers = headers_of(bytes);
    lifetime(&headers);
    conditions(&headers);
    if prefer::wants_representation(&headers) {
        let says = |value: &HeaderValue| {
            let value = value.as_bytes().to_ascii_lowercase();
            ["return", "representation"].iter().all(|word| value.windows(word.len()).any(|at| at == word.as_bytes()))
        };
        assert!(headers.get_all("prefer").iter().any(says));
    }
}

fn headers_of(bytes: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((letter, value)) = line.split_first() else { continue };
        let name = match letter {
            b't' => TTL,
            b'm' => IF_MATCH,
            b'n' => IF_NONE_MATCH,
            b'p' => HeaderName::from_static("prefer"),
            _ => continue,
        };
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    headers
}

fn lifetime(headers: &HeaderMap) {
    let Ok(requested) = ttl_header::requested(headers) else { return };
    let sent = headers.get(TTL).map(HeaderValue::as_bytes);
    assert_eq!(requested.is_some(), sent.is_some());
    if let (Some(ttl), Some(sent)) = (requested, sent) {
        // More digits than a number has room for mean more than the most that can be granted.
        let sent = std::str::from_utf8(sent).ok().and_then(|sent| sent.parse().ok()).unwrap_or(u64::MAX);
        assert_eq!(ttl.as_secs(), Some(sent.min(MAX_TTL.as_secs())));
    }
}

fn conditions(headers: &HeaderMap) {
    let (write, read) = (WriteCondition::of(headers), ReadCondition::of(headers));
    // What is refused for a read is refused for a write, which takes only one of the two headers.
    let Ok(read) = read else { return assert!(write.is_err()) };
    let Ok(write) = write else {
        return assert!(headers.contains_key(IF_MATCH) && headers.contains_key(IF_NONE_MATCH));
    };
    let listed: &[Version] = match &write {
        WriteCondition::Judged(Condition::Matches(versions) | Condition::Differs(versions)) => versions,
        WriteCondition::Judged(Condition::None | Condition::Absent | Condition::Present) | WriteCondition::Never => &[],
    };
    assert!(listed.len() <= MAX_CONDITION_VERSIONS);
    for version in listed.iter().chain(&[Version::new(0), Version::new(u64::MAX)]) {
        let holds = match &write {
            WriteCondition::Judged(condition) => condition.holds(Some(&record(*version))),
            WriteCondition::Never => false,
        };
        assert_eq!(read.judge(*version) == Verdict::Send, holds);
        let tagged = WriteCondition::of(&HeaderMap::from_iter([(IF_MATCH, entity_tag(*version))]));
        assert!(matches!(tagged, Ok(WriteCondition::Judged(Condition::Matches(found))) if found == [*version]));
    }
}

/// A live record of that version.
fn record(version: Version) -> Record {
    let expires_at = LogTime::NEVER;
    let header = Header {
        namespace_generation: 0,
        group_generation: 0,
        expires_at,
        bucket: Bucket::ending(expires_at),
        counted_by_name: true,
        version,
        value_bytes: 0,
        value_hash: 0,
        lifetime: None,
    };
    Record { header, value: Bytes::new() }
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::*;

    fn seed(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    #[test]
    fn every_seed_of_a_request_target_is_refused_or_names_a_key() {
        let made = [
            ("plain", seed("/sessions/v1/awiki:MWSession:0")),
            ("escaped", seed("/sessions%2Fv1/awiki%3AMWSession%3a%C3%BC")),
            ("key_only", seed("awiki%3A%2525")),
            ("slash", seed("a%2Fb")),
            ("not_utf8", seed("%ff%FE")),
            ("cut", seed("abc%4")),
            ("absolute", seed("http://localhost:8081/sessions/v1/k?q#f")),
            ("longest", vec![b'k'; MAX_KEY_BYTES]),
        ];
        seeds::hold("http_key", &made, key);
    }

    #[test]
    fn every_seed_of_headers_means_the_same_for_reads_and_writes() {
        let made = [
            ("ttl", seed("t3600")),
            ("ttl_huge", seed("t99999999999999999999999")),
            ("ttl_twice", seed("t1\nt2")),
            ("any", seed("m*")),
            ("absent", seed("n*")),
            ("listed", seed("m\"1a\", \"2\" ,,\"ffffffffffffffff\"\nm\"0\"")),
            ("weak", seed("nW/\"1a\", \"b\"")),
            ("never", seed("mW/\"1\"")),
            ("both", seed("m\"1\"\nn\"2\"")),
            ("prefer", seed("prespond-async, Return = \"representation\"; x=y\np return=minimal")),
        ];
        seeds::hold("http_headers", &made, headers);
    }
}
