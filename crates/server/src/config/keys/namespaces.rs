use sessile_core::{MAX_NAMESPACE_NAME_BYTES, MAX_TTL, ReadConsistency, Renewal};

use super::key::{Fallback, Key, KeyBlock, Number, Takes};

/// What the top of the file says of `sessions`, where the list does not.
pub(in crate::config) const OF_SESSIONS: [&str; 4] = ["base_uri", "default_ttl", "max_ttl", "read_consistency"];

/// Any number that a signed one of 64 bits holds too: what scripts in other languages read.
const MOST: u64 = i64::MAX as u64;
/// Priorities are compared, and nobody needs more of them.
const MOST_PRIORITY: u64 = 1_000;

/// A quota.
const fn quota(unit: &'static str, least: &'static str) -> Takes {
    Takes::Number(Number { unit, range: 0..=MOST, least, most: "no limit that anything reaches" })
}

pub(super) const NAMESPACES: KeyBlock = KeyBlock {
    name: "namespaces",
    words: "A list; each item is a block with these keys. Two names or two paths that lead into one another are refused, and so is \
            a list of more than 256. If `sessions` is in the list, the keys at the top must not say what it is.",
    keys: &[
        Key {
            name: "name",
            takes: Takes::Text(|| format!("1 to {MAX_NAMESPACE_NAME_BYTES} of a-z 0-9 _ -, a letter first")),
            default: Fallback::Follows("must be there"),
            words: "How operators, metrics and logs call it.",
        },
        Key {
            name: "base_uri",
            takes: Takes::Text(|| "a path of words between slashes, such as /echoseen/v1".to_owned()),
            default: Fallback::Follows("must be there"),
            words: "The path that its keys are under.",
        },
        Key {
            name: "default_ttl",
            takes: Takes::Number(Number {
                unit: "seconds",
                range: 0..=MAX_TTL.as_secs(),
                least: "its keys never expire, unless a write asks for a lifetime",
                most: "ten years",
            }),
            default: Fallback::Number(86_400),
            words: "The lifetime of a key whose write asks for none.",
        },
        Key {
            name: "max_ttl",
            takes: Takes::Number(Number {
                unit: "seconds",
                range: 0..=MAX_TTL.as_secs(),
                least: "no lifetime is too long",
                most: "ten years",
            }),
            default: Fallback::Follows("31622400, or `default_ttl` if that is longer"),
            words: "The longest lifetime. A write that asks for more gets this one.",
        },
        Key {
            name: "max_keys",
            takes: quota("", "no limit"),
            default: Fallback::Number(0),
            words: "How many keys it may count. One more is a 507 `namespace_keys`.",
        },
        Key {
            name: "max_bytes",
            takes: quota("bytes", "no limit"),
            default: Fallback::Number(0),
            words: "How many bytes of keys and values it may count. More is a 507 `namespace_bytes`.",
        },
        Key {
            name: "max_value",
            takes: quota("bytes", "what `http.max_value_bytes` allows"),
            default: Fallback::Number(0),
            words: "The largest value. A larger one is a 413.",
        },
        Key {
            name: "read_consistency",
            takes: Takes::Word(|| ReadConsistency::ALL.map(ReadConsistency::name).to_vec()),
            default: Fallback::Text("linearizable"),
            words: "As `read_consistency` at the top, for this namespace.",
        },
        Key {
            name: "priority",
            takes: Takes::Number(Number {
                unit: "",
                range: 0..=MOST_PRIORITY,
                least: "its writes are refused first",
                most: "its writes are refused last",
            }),
            default: Fallback::Number(0),
            words: "Whose writes give way when a disk fills up: the lowest priority's first, with a 507.",
        },
        Key {
            name: "renew",
            takes: Takes::Word(|| Renewal::ALL.map(Renewal::name).to_vec()),
            default: Fallback::Text("never"),
            words: "With `half`, a read in the last half of a lifetime gives the key that lifetime again.",
        },
    ],
};
