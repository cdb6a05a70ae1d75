use std::fmt::Write as _;

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};
use sessile_core::{Condition, MAX_CONDITION_VERSIONS, Version};

/// A condition that a header states (RFC 9110, 13.1).
enum Tags {
    /// `*`
    Any,
    /// Those of the listed tags that a version of ours could have. May be none.
    Listed(Vec<Version>),
}

/// Whether a request's If-Match lists a weak tag of a version of ours, which a proxy has made of the strong one
/// (RFC 9110, 8.8.3.3). Asked only where the condition has failed.
pub(crate) fn has_weak_tag(headers: &HeaderMap) -> bool {
    let listed = |comparison| match tags(headers, &IF_MATCH, comparison) {
        Ok(Some(Tags::Listed(versions))) => versions.len(),
        _ => 0,
    };
    // What is one of ours but for its weakness.
    listed(Comparison::Weak) > listed(Comparison::Strong)
}

/// How entity tags are compared (RFC 9110, 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    /// A weak tag is equal to none.
    Strong,
    /// Weakness does not matter.
    Weak,
}

/// What must hold for a write to be done.
pub(crate) enum WriteCondition {
    /// The store is to judge.
    Judged(Condition),
    /// It cannot hold, whatever is stored.
    Never,
}

/// What a read depends on.
pub(crate) struct ReadCondition {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

/// What a read's condition makes of the session that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Send,
    NotModified,
    Failed,
}

/// The version's entity tag: strong, its log index in hexadecimal.
pub(crate) fn entity_tag(version: Version) -> HeaderValue {
    let mut tag = String::with_capacity(18);
    let _ = write!(tag, "\"{:x}\"", version.log_index());
    HeaderValue::try_from(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

impl WriteCondition {
    /// Both headers at once are refused: what they say together, [`Condition`] cannot.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        let if_match = tags(headers, &IF_MATCH, Comparison::Strong)?;
        let if_none_match = tags(headers, &IF_NONE_MATCH, Comparison::Weak)?;
        Ok(Self::Judged(match (if_match, if_none_match) {
            (None, None) => Condition::None,
            (Some(_), Some(_)) => return Err("there are both If-Match and If-None-Match"),
            (Some(Tags::Any), None) => Condition::Present,
            (Some(Tags::Listed(versions)), None) if versions.is_empty() => return Ok(Self::Never),
            (Some(Tags::Listed(versions)), None) => Condition::Matches(versions),
            (None, Some(Tags::Any)) => Condition::Absent,
            (None, Some(Tags::Listed(versions))) if versions.is_empty() => Condition::None,
            (None, Some(Tags::Listed(versions))) => Condition::Differs(versions),
        }))
    }
}

impl ReadCondition {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, &'static str> {
        Ok(Self {
            if_match: tags(headers, &IF_MATCH, Comparison::Strong)?,
            if_none_match: tags(headers, &IF_NONE_MATCH, Comparison::Weak)?,
        })
    }

    /// In the order of RFC 9110, 13.2.2. Only asked when there is a session: without one the answer is 404 either way.
    pub(crate) fn judge(&self, version: Version) -> Verdict {
        let names = |tags: &Tags| match tags {
            Tags::Any => true,
            Tags::Listed(versions) => versions.contains(&version),
        };
        if self.if_match.as_ref().is_some_and(|tags| !names(tags)) {
            Verdict::Failed
        } else if self.if_none_match.as_ref().is_some_and(names) {
            Verdict::NotModified
        } else {
            Verdict::Send
        }
    }
}

/// What that header states, over all its lines; `None` if it is not there.
fn tags(headers: &HeaderMap, name: &HeaderName, comparison: Comparison) -> Result<Option<Tags>, &'static str> {
    let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes).peekable();
    if lines.peek().is_none() {
        return Ok(None);
    }
    let mut found = 0;
    let mut any = false;
    let mut versions = Vec::new();
    for mut rest in lines {
        loop {
            rest = rest.trim_ascii_start();
            match rest {
                [] => break,
                [b',', after @ ..] => rest = after,
                [b'*', after @ ..] => (any, found, rest) = (true, found + 1, end_of_element(after)?),
                _ => {
                    let (tag, after) = entity_tag_at(rest)?;
                    (found, rest) = (found + 1, end_of_element(after)?);
                    versions.extend(tag.version(comparison));
                }
            }
            if found > MAX_CONDITION_VERSIONS {
                return Err("the condition lists too many entity tags");
            }
        }
    }
    match (any, found) {
        (true, 1) => Ok(Some(Tags::Any)),
        (true, _) => Err("the condition has both * and something else"),
        (false, 0) => Err("the condition is empty"),
        (false, _) => Ok(Some(Tags::Listed(versions))),
    }
}

/// An entity tag as a client sent it.
struct EntityTag<'a> {
    weak: bool,
    opaque: &'a [u8],
}

/// Reads `W/"…"` or `"…"` (RFC 9110, 8.8.3).
fn entity_tag_at(text: &[u8]) -> Result<(EntityTag<'_>, &[u8]), &'static str> {
    const MALFORMED: &str = "an entity tag is malformed";
    let (weak, text) = text.strip_prefix(b"W/").map_or((false, text), |rest| (true, rest));
    let text = text.strip_prefix(b"\"").ok_or(MALFORMED)?;
    let end = text.iter().position(|&byte| byte == b'"').ok_or(MALFORMED)?;
    let opaque = &text[..end];
    let allowed = |byte: &u8| *byte == 0x21 || (0x23..=0x7e).contains(byte) || *byte >= 0x80;
    if !opaque.iter().all(allowed) {
        return Err(MALFORMED);
    }
    Ok((EntityTag { weak, opaque }, &text[end + 1..]))
}

/// After an element of a list comes a comma, or nothing.
fn end_of_element(text: &[u8]) -> Result<&[u8], &'static str> {
    match text.trim_ascii_start() {
        [] => Ok(&[]),
        [b',', rest @ ..] => Ok(rest),
        _ => Err("the list of entity tags is malformed"),
    }
}

impl EntityTag<'_> {
    /// The version whose tag this is; `None` if it can be none's, under that comparison.
    fn version(&self, comparison: Comparison) -> Option<Version> {
        if self.weak && comparison == Comparison::Strong {
            return None;
        }
        let canonical = matches!(self.opaque, [b'0'] | [b'1'..=b'9' | b'a'..=b'f', ..]);
        let lower = self.opaque.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let digits = std::str::from_utf8(self.opaque).ok().filter(|_| canonical && lower)?;
        u64::from_str_radix(digits, 16).ok().map(Version::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(comparison: Comparison, lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(IF_MATCH, line.parse().unwrap());
        }
        match tags(&headers, &IF_MATCH, comparison) {
            Err(_) => Some("malformed".to_owned()),
            Ok(None) => None,
            Ok(Some(Tags::Any)) => Some("*".to_owned()),
            Ok(Some(Tags::Listed(versions))) => {
                Some(versions.iter().map(|v| v.log_index().to_string()).collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn a_condition_lists_entity_tags_or_is_a_star() {
        let strong: &[(&[&str], &str)] = &[
            (&["*"], "*"),
            (&["\"1a\""], "26"),
            (&["\"1\", \"2\" ,\t\"3\""], "1 2 3"),
            (&["\"1\"", "\"2\""], "1 2"),
            (&[", \"1\",,"], "1"),
            (&["\"ffffffffffffffff\""], "18446744073709551615"),
            // Valid tags, but none of ours.
            (&["W/\"1a\""], ""),
            (&["\"\""], ""),
            (&["\"01\""], ""),
            (&["\"1A\""], ""),
            (&["\"+1\""], ""),
            (&["\"10000000000000000\""], ""),
            (&["\"a,b\""], ""),
            // No tags.
            (&[""], "malformed"),
            (&[","], "malformed"),
            (&["1a"], "malformed"),
            (&["\"1a"], "malformed"),
            (&["1a\""], "malformed"),
            (&["w/\"1a\""], "malformed"),
            (&["\"1\" \"2\""], "malformed"),
            (&["\"1 2\""], "malformed"),
            (&["*, \"1\""], "malformed"),
            (&["*", "*"], "malformed"),
            (&["**"], "malformed"),
        ];
        for (lines, expected) in strong {
            assert_eq!(read(Comparison::Strong, lines).as_deref(), Some(*expected), "{lines:?}");
        }
        assert_eq!(read(Comparison::Weak, &["W/\"1a\", \"2\""]).as_deref(), Some("26 2"));
        assert_eq!(read(Comparison::Strong, &[]), None);
    }

    #[test]
    fn a_condition_lists_at_most_so_many_tags() {
        let list = |count: usize| vec!["W/\"x\""; count].join(",");
        assert_eq!(read(Comparison::Strong, &[&list(MAX_CONDITION_VERSIONS)]).as_deref(), Some(""));
        assert_eq!(read(Comparison::Strong, &[&list(MAX_CONDITION_VERSIONS + 1)]).as_deref(), Some("malformed"));
    }

    #[test]
    fn every_version_is_found_again_under_its_own_tag() {
        for index in [0, 1, 9, 10, 255, u64::MAX] {
            let tag = entity_tag(Version::new(index));
            assert_eq!(read(Comparison::Strong, &[tag.to_str().unwrap()]), Some(index.to_string()));
        }
    }
}
