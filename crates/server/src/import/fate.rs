//! What becomes of one key: whether it can be a session, under which name, for how long, and what an answer of the target
//! means for it. Decisions only; who asks whom stands elsewhere.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::Value;
use sessile_core::{KeyError, SessionKey};
use tokio::time::Instant;

use super::source::Lives;
use crate::session_client::{Answer, NoAnswer, TTL};

/// Why a string of the source is no session in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Skip {
    EmptyKey,
    LongKey,
    KeyWithSlash,
    KeyNotUtf8,
    EmptyValue,
    LargeValue,
    NotSerialized,
    NotJson,
    Refused,
}

impl Skip {
    pub(super) const ALL: [Self; 9] = [
        Self::EmptyKey,
        Self::LongKey,
        Self::KeyWithSlash,
        Self::KeyNotUtf8,
        Self::EmptyValue,
        Self::LargeValue,
        Self::NotSerialized,
        Self::NotJson,
        Self::Refused,
    ];

    /// As a JSON document calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EmptyKey => "empty_key",
            Self::LongKey => "long_key",
            Self::KeyWithSlash => "key_with_slash",
            Self::KeyNotUtf8 => "key_not_utf8",
            Self::EmptyValue => "empty_value",
            Self::LargeValue => "large_value",
            Self::NotSerialized => "not_serialized",
            Self::NotJson => "not_json",
            Self::Refused => "refused",
        }
    }

    /// As a sentence ends with it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::EmptyKey => "the key would be empty",
            Self::LongKey => "the key is longer than 1,024 bytes",
            Self::KeyWithSlash => "the key has a slash, which no session's has",
            Self::KeyNotUtf8 => "the key is not UTF-8",
            Self::EmptyValue => "the value is empty",
            Self::LargeValue => "the value is larger than the namespace, the node or 4 MiB allows",
            Self::NotSerialized => "the value is not what MediaWiki's RedisBagOStuff writes",
            Self::NotJson => "the value has no JSON: an object, or text that is not UTF-8; see --mediawiki php",
            Self::Refused => "the target refused it",
        }
    }
}

/// How keys are named in the target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Renaming {
    /// What they begin with in the source; others are not copied.
    pub(super) prefix: String,
    /// What stands in its place in the target; `None` leaves it.
    pub(super) instead: Option<String>,
}

impl Renaming {
    /// The key in the target, percent-encoded; `None` for one that does not begin with the prefix.
    pub(super) fn target(&self, key: &[u8]) -> Option<Result<String, Skip>> {
        let rest = key.strip_prefix(self.prefix.as_bytes())?;
        let renamed;
        let key = match &self.instead {
            None => key,
            Some(instead) => {
                renamed = [instead.as_bytes(), rest].concat();
                &renamed
            }
        };
        Some(match SessionKey::new(key.to_vec()) {
            Err(KeyError::Empty) => Err(Skip::EmptyKey),
            Err(KeyError::TooLong { .. }) => Err(Skip::LongKey),
            Err(KeyError::NotUtf8) => Err(Skip::KeyNotUtf8),
            Ok(_) if key.contains(&b'/') => Err(Skip::KeyWithSlash),
            Ok(_) => Ok(encoded(key)),
        })
    }
}

/// PHP's `rawurlencode`: all but RFC 3986's unreserved characters.
fn encoded(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for &byte in key {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// The glob that a text matches and no other (Redis, "KEYS").
pub(super) fn glob_of_prefix(prefix: &str) -> Vec<u8> {
    let mut glob = Vec::new();
    for byte in prefix.bytes() {
        if b"*?[]\\^".contains(&byte) {
            glob.push(b'\\');
        }
        glob.push(byte);
    }
    glob.push(b'*');
    glob
}

/// The lifetime to ask the target for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// The namespace's default, because the source knows none.
    Default,
    /// Seconds.
    Of(u64),
    /// It is over.
    Over,
}

impl Lifetime {
    /// What is left at a moment, rounded up: a TTL is a lower bound.
    pub(super) fn left(lives: Lives, now: Instant) -> Self {
        match lives {
            Lives::Gone => Self::Over,
            Lives::Ever => Self::Default,
            Lives::Until(end) => match end.saturating_duration_since(now) {
                Duration::ZERO => Self::Over,
                left => Self::Of(left.as_secs() + u64::from(left.subsec_nanos() > 0)),
            },
        }
    }

    pub(super) fn seconds(self) -> Option<u64> {
        match self {
            Self::Of(seconds) => Some(seconds),
            Self::Default | Self::Over => None,
        }
    }
}

/// What came of a value that was sent to the target, or not.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is there now, under that entity tag; for less than it was asked for, if the namespace's longest is shorter.
    New {
        tag: HeaderValue,
        shortened: bool,
    },
    /// Something was there already, and stays.
    There,
    /// It expired on the way.
    Expired,
    Skipped(Skip),
}

/// Why nothing more can be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    /// The namespace or the disks are full; in the server's own words.
    #[error("the target is full: {0}")]
    Full(String),
    /// It wants another token.
    #[error("the target refuses the token, or wants one ({0}): {1}; give one with the right `both` in --token-file")]
    Denied(u16, String),
    /// Nothing is served under that URL.
    #[error("the target has no namespace under this URL (404); `sessile namespace list` shows each one's base URI")]
    NoNamespace,
    /// It does not know conditions, and may have overwritten what was there.
    #[error(
        "the target is no Sessile ({0}): it stores without an entity tag, so what a client has written there meanwhile could \
         be overwritten"
    )]
    NotSessile(u16),
    /// It did not take a write for as long as was waited.
    #[error("the target took no write for {} s ({why}); `sessile status` says why", .waited.as_secs())]
    GaveUp { waited: Duration, why: String },
}

/// Why a write is to be sent again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// After so long, if the answer says so.
    pub(super) wait: Option<Duration>,
    pub(super) why: String,
    /// The write may have happened.
    pub(super) may_have_happened: bool,
}

impl Again {
    pub(super) fn after(none: NoAnswer) -> Self {
        Self { wait: None, why: format!("it {}", none.why()), may_have_happened: none != NoAnswer::NotConnected }
    }
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Done(Written),
    /// To be asked again.
    Again(Again),
    Stop(Stop),
}

/// What the target's answer to a write means, that asked for that lifetime.
pub(super) fn judge(answer: &Answer, asked: Lifetime) -> Verdict {
    let status = answer.status.as_u16();
    match status {
        200 | 201 | 204 => match answer.headers.get(ETAG) {
            Some(tag) => {
                Verdict::Done(Written::New { tag: tag.clone(), shortened: is_shortened(&answer.headers, asked) })
            }
            None => Verdict::Stop(Stop::NotSessile(status)),
        },
        412 => Verdict::Done(Written::There),
        413 => Verdict::Done(Written::Skipped(Skip::LargeValue)),
        400 | 414 | 422 => Verdict::Done(Written::Skipped(Skip::Refused)),
        401 | 403 => Verdict::Stop(Stop::Denied(status, detail(answer))),
        404 => Verdict::Stop(Stop::NoNamespace),
        408 | 429 | 500 | 502 | 503 | 504 => Verdict::Again(Again {
            wait: retry_after(&answer.headers),
            why: format!("{status}: {}", detail(answer)),
            may_have_happened: may_have_happened(answer),
        }),
        507 => Verdict::Stop(Stop::Full(detail(answer))),
        _ => Verdict::Stop(Stop::NotSessile(status)),
    }
}

/// Whether the answer grants a lifetime that is shorter than the one that was asked for.
fn is_shortened(headers: &HeaderMap, asked: Lifetime) -> bool {
    let granted = headers.get(TTL).and_then(|ttl| ttl.to_str().ok()).and_then(|ttl| ttl.parse::<u64>().ok());
    matches!((asked, granted), (Lifetime::Of(asked), Some(granted)) if granted < asked)
}

/// RFC 9110, 10.2.3, in seconds; a date is not understood, and waited for as if there were none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// Sessile says so by the type of a 503: every other one has changed nothing. A proxy knows nothing of it.
fn may_have_happened(answer: &Answer) -> bool {
    let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let kind = document.as_ref().and_then(|document| document["type"].as_str());
    match answer.status.as_u16() {
        408 | 429 => false,
        503 => kind.is_none_or(|kind| kind.ends_with("/outcome_unknown")),
        _ => true,
    }
}

/// What Sessile says in an error's body, beside the key. What stands before it is not shown: a proxy's page may be long, and
/// may repeat the request's path, which holds the key.
fn detail(answer: &Answer) -> String {
    let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let detail = document.as_ref().and_then(|document| document["detail"].as_str());
    let reason = answer.status.canonical_reason().unwrap_or("no reason");
    detail.unwrap_or(reason).to_owned()
}

/// Whether that answer, to a second attempt of a write whose first had none, may be that first one's doing: what is there then
/// is what was sent.
pub(super) fn is_ours(answer: &Answer, value: &Bytes) -> Option<HeaderValue> {
    let same = answer.status == StatusCode::OK && answer.body == *value;
    answer.headers.get(ETAG).filter(|_| same).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Answer { status: StatusCode::from_u16(status).unwrap(), headers: map, body: body.to_owned().into() }
    }

    #[test]
    fn a_key_keeps_its_name_or_changes_its_prefix() {
        let kept = Renaming::default();
        let longest = "k".repeat(1024);
        for (key, named) in [
            (&b"enwiki:MWSession:0a"[..], Some(Ok("enwiki%3AMWSession%3A0a"))),
            (b"a+b c~%", Some(Ok("a%2Bb%20c~%25"))),
            ("\u{e9}".as_bytes(), Some(Ok("%C3%A9"))),
            (longest.as_bytes(), Some(Ok(&*longest))),
            (&[b'k'; 1025], Some(Err(Skip::LongKey))),
            (b"", Some(Err(Skip::EmptyKey))),
            (b"a/b", Some(Err(Skip::KeyWithSlash))),
            (b"\xff", Some(Err(Skip::KeyNotUtf8))),
        ] {
            assert_eq!(kept.target(key), named.map(|named| named.map(str::to_owned)), "{key:?}");
        }
        let only = Renaming { prefix: "app:".to_owned(), instead: None };
        assert_eq!((only.target(b"app:1"), only.target(b"other:1")), (Some(Ok("app%3A1".to_owned())), None));
        let renamed = Renaming { prefix: "PHPREDIS_SESSION:".to_owned(), instead: Some("php:".to_owned()) };
        assert_eq!(renamed.target(b"PHPREDIS_SESSION:1"), Some(Ok("php%3A1".to_owned())));
        let bare = Renaming { prefix: "a:".to_owned(), instead: Some(String::new()) };
        assert_eq!((bare.target(b"a:1"), bare.target(b"a:")), (Some(Ok("1".to_owned())), Some(Err(Skip::EmptyKey))));
        assert_eq!(glob_of_prefix("a*b[c]?\\"), b"a\\*b\\[c\\]\\?\\\\*");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lifetime_is_what_is_left_of_it_when_the_value_is_sent() {
        let now = Instant::now();
        let until = |millis| Lives::Until(now + Duration::from_millis(millis));
        for (lives, left) in [
            (until(0), Lifetime::Over),
            (until(1), Lifetime::Of(1)),
            (until(1_000), Lifetime::Of(1)),
            (until(1_001), Lifetime::Of(2)),
            (until(3_600_000), Lifetime::Of(3_600)),
            (Lives::Ever, Lifetime::Default),
            (Lives::Gone, Lifetime::Over),
        ] {
            assert_eq!(Lifetime::left(lives, now), left, "{lives:?}");
        }
        assert_eq!(Lifetime::left(until(5_000), now + Duration::from_secs(4)), Lifetime::Of(1));
        assert_eq!(Lifetime::left(until(5_000), now + Duration::from_secs(6)), Lifetime::Over);
    }

    #[test]
    fn an_answer_decides_whether_to_go_on_to_ask_again_or_to_stop() {
        let problem = "{\"detail\": \"in its own words\", \"instance\": \"/sessions/v1/secret\"}";
        let own = || "in its own words".to_owned();
        let done = |tag: &str, shortened| Verdict::Done(Written::New { tag: tag.parse().unwrap(), shortened });
        let second = Duration::from_secs(1);
        let again =
            |wait, why: &str, may_have_happened| Verdict::Again(Again { wait, why: why.to_owned(), may_have_happened });
        let typed = |kind| format!("{{\"type\": \"https://www.mediawiki.org/wiki/Kask/errors/{kind}\"}}");
        for (given, verdict) in [
            (answer(201, &[("etag", "\"1a\""), ("ttl", "10")], ""), done("\"1a\"", false)),
            (answer(201, &[("etag", "\"1a\""), ("ttl", "9")], ""), done("\"1a\"", true)),
            (answer(201, &[("etag", "\"1a\"")], ""), done("\"1a\"", false)),
            (answer(201, &[], ""), Verdict::Stop(Stop::NotSessile(201))),
            (answer(412, &[], problem), Verdict::Done(Written::There)),
            (answer(413, &[], problem), Verdict::Done(Written::Skipped(Skip::LargeValue))),
            (answer(400, &[], problem), Verdict::Done(Written::Skipped(Skip::Refused))),
            (answer(401, &[], problem), Verdict::Stop(Stop::Denied(401, own()))),
            (answer(403, &[], problem), Verdict::Stop(Stop::Denied(403, own()))),
            (answer(404, &[], problem), Verdict::Stop(Stop::NoNamespace)),
            (answer(405, &[], ""), Verdict::Stop(Stop::NotSessile(405))),
            (answer(301, &[], ""), Verdict::Stop(Stop::NotSessile(301))),
            (answer(503, &[("retry-after", "1")], problem), again(Some(second), "503: in its own words", true)),
            (answer(503, &[], &typed("no_quorum")), again(None, "503: Service Unavailable", false)),
            (answer(503, &[], &typed("outcome_unknown")), again(None, "503: Service Unavailable", true)),
            (answer(429, &[], ""), again(None, "429: Too Many Requests", false)),
            (answer(502, &[], "<h1>secret"), again(None, "502: Bad Gateway", true)),
            (
                answer(503, &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], ""),
                again(None, "503: Service Unavailable", true),
            ),
            (answer(507, &[], problem), Verdict::Stop(Stop::Full(own()))),
        ] {
            assert_eq!(judge(&given, Lifetime::Of(10)), verdict, "{}", given.status);
        }
    }

    #[test]
    fn what_is_there_after_an_attempt_without_an_answer_is_ours_only_if_it_is_the_same() {
        let value = Bytes::from_static(b"v");
        let tag = [("etag", "\"1\"")];
        assert!(is_ours(&answer(200, &tag, "v"), &value).is_some());
        for other in [answer(200, &tag, "w"), answer(200, &tag, ""), answer(404, &tag, "v"), answer(200, &[], "v")] {
            assert_eq!(is_ours(&other, &value), None);
        }
    }
}
