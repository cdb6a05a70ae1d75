use super::key::{Fallback, Key, KeyBlock, Number, Takes};

pub(super) const BACKUP: KeyBlock = KeyBlock {
    name: "backup",
    words: "The backups that the node makes by itself, each as `sessile backup` makes one.",
    keys: &[
        Key {
            name: "directory",
            takes: Takes::Text(|| "the path of a directory".to_owned()),
            default: Fallback::Follows("none are made"),
            words: "Where they are kept, for the node's user alone; made if it is not there. Better not on the disk of \
                    `storage.data_dir`, which may be what is lost.",
        },
        Key {
            name: "every",
            takes: Takes::Number(Number {
                unit: "seconds",
                range: 60..=7 * 86_400,
                least: "each reads all of the state, so a larger one takes longer than that",
                most: "a week",
            }),
            default: Fallback::Number(3_600),
            words: "How often one is made. After a restart the newest one that is there counts.",
        },
        Key {
            name: "keep",
            takes: Takes::Number(Number {
                unit: "",
                range: 1..=1_000,
                least: "the one before goes once the new one is whole",
                most: "as many as a directory shows at a glance",
            }),
            default: Fallback::Number(24),
            words: "How many of the newest are kept. Files of other nodes, and what is called otherwise, are not touched.",
        },
    ],
};
