use std::ops::RangeInclusive;

use sessile_cluster::{PeersConfig, Timing};
use sessile_embed::Member;

use super::key::{Fallback, Key, KeyBlock, Number, Takes, millis};

/// Beside the HTTP side's 8081, on this machine only: who wants peers on others says where.
pub(in crate::config) const DEFAULT_CLUSTER_LISTEN: &str = "127.0.0.1:7081";
/// One machine is no cluster that could be waited for; Raft with more than a handful of voters gets slower, not safer.
const EXPECT: RangeInclusive<u64> = 2..=64;
/// Not at all, to an hour.
const WAIT_MS: RangeInclusive<u64> = 0..=3_600_000;
/// A voter that is started again is back within seconds; who is away for a week has been given up.
const DEAD_AFTER_MS: RangeInclusive<u64> = 1_000..=604_800_000;

const MILLIS: &str = "milliseconds";

pub(super) const CLUSTER: KeyBlock = KeyBlock {
    name: "cluster",
    words: "Whose member the node is, and how it finds the others. Without this block it is a cluster of one.",
    keys: &[
        Key {
            name: "name",
            takes: Takes::Text(|| {
                format!("1 to {} characters of A-Z, a-z, 0-9, `.`, `_` and `-`, such as n1", Member::MAX_NAME_BYTES)
            }),
            default: Fallback::Follows("must be there"),
            words: "What the member is called. It stays with the machine: a new node with the name of a dead member takes its place.",
        },
        Key {
            name: "listen",
            takes: Takes::Text(|| "HOST:PORT; port 0 takes a free one".to_owned()),
            default: Fallback::Text(DEFAULT_CLUSTER_LISTEN),
            words: "Where it listens for members and operators (gRPC).",
        },
        Key {
            name: "advertise",
            takes: Takes::Text(|| "HOST:PORT that others can connect to".to_owned()),
            default: Fallback::Follows("`cluster.listen`, which must be no wildcard address then"),
            words: "Where the other members reach it.",
        },
        Key {
            name: "seeds",
            takes: Takes::Texts("HOST:PORT"),
            default: Fallback::Follows("none"),
            words: "The first members, this one among them, as they advertise themselves. Later, where a new node looks for the \
                    cluster.",
        },
        Key {
            name: "expect",
            takes: Takes::Number(Number {
                unit: "",
                range: EXPECT,
                least: "two members: the loss of either stops the cluster",
                most: "more voters make Raft slower, not safer",
            }),
            default: Fallback::Follows("the node joins the cluster of its seeds, or waits for `sessile cluster init`"),
            words: "How many `seeds` there are. When so many new nodes have met, they make a cluster.",
        },
        Key {
            name: "join_token_file",
            takes: Takes::Text(|| "the path of a file with one line of text, of 16 bytes or more".to_owned()),
            default: Fallback::Follows("must be there"),
            words: "The secret by which the members know each other: the same for all. `sessile cluster new-token` prints one.",
        },
        Key {
            name: "operator_token_file",
            takes: Takes::Text(|| "the path of a file with a line for each token: `NAME read|admin TOKEN`".to_owned()),
            default: Fallback::Follows("the join token is one, with the right `admin`"),
            words: "By what operators on other machines are known.",
        },
        Key {
            name: "plaintext",
            takes: Takes::Word(|| vec!["false", "true", "insecure"]),
            default: Fallback::Text("false"),
            words: "With `true` members speak without TLS, on this machine only. With `insecure` anywhere: whoever reaches the port is \
                    a member.",
        },
        Key {
            name: "listen_ms",
            takes: Takes::Number(Number {
                unit: MILLIS,
                range: WAIT_MS,
                least: "seeds make a cluster as soon as they have met",
                most: "an hour",
            }),
            default: Fallback::Number(millis(PeersConfig::DEFAULT_LISTEN)),
            words: "How long a new node listens for a living cluster before it takes part in making one.",
        },
        Key {
            name: "stabilise_ms",
            takes: Takes::Number(Number {
                unit: MILLIS,
                range: WAIT_MS,
                least: "a learner gets its vote as soon as it has caught up",
                most: "an hour",
            }),
            default: Fallback::Number(millis(PeersConfig::DEFAULT_STABILISE)),
            words: "How long a learner must have been healthy before it becomes a voter.",
        },
        Key {
            name: "dead_after_ms",
            takes: Takes::Number(Number {
                unit: MILLIS,
                range: DEAD_AFTER_MS,
                least: "a restart that takes longer than a second costs a voter its vote, where a newcomer waits",
                most: "a week",
            }),
            default: Fallback::Number(millis(PeersConfig::DEFAULT_DEAD_AFTER)),
            words: "How long a voter must have been silent before a newcomer of another name takes its place.",
        },
        Key {
            name: "max_rtt_ms",
            takes: Takes::Number(Number {
                unit: MILLIS,
                range: Timing::MAX_RTT_MS,
                least: "the same as 40, below which nothing gets shorter",
                most: "a write takes half a second; further away it is not tried",
            }),
            default: Fallback::Number(millis(Timing::DEFAULT_MAX_RTT)),
            words: "The longest round trip between two voters, the same for all members. All times that members wait for each other \
                    follow from it; `sessile check-config` prints them.",
        },
        Key {
            name: "autopilot",
            takes: Takes::Flag,
            default: Fallback::Flag(true),
            words: "Whether learners become voters, and newcomers take the place of the dead, by themselves. Without it all of that is \
                    done with `sessile cluster`.",
        },
    ],
};
