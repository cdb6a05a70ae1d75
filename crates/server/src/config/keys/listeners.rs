use super::key::{Fallback, Key, KeyBlock, Takes};

const FILES: &[Key] = &[
    Key {
        name: "cert",
        takes: Takes::Text(|| "the path of a PEM file".to_owned()),
        default: Fallback::Follows("no TLS"),
        words: "The certificate, and after it those that lead to one that clients know. It needs `key` beside it. A file that cannot \
                be used is refused at start; while the node runs, the one of before stays in use.",
    },
    Key {
        name: "key",
        takes: Takes::Text(|| "the path of a PEM file".to_owned()),
        default: Fallback::Follows("no TLS"),
        words: "The certificate's private key, not encrypted.",
    },
    Key {
        name: "client_ca",
        takes: Takes::Text(|| "the path of a PEM file".to_owned()),
        default: Fallback::Follows("every client is served"),
        words: "Only clients with a certificate of one of these authorities are served.",
    },
];

pub(super) const TLS: KeyBlock =
    KeyBlock { name: "tls", words: "The session API over TLS 1.3 or 1.2. An empty path is none.", keys: FILES };

pub(super) const ADMIN_TLS: KeyBlock =
    KeyBlock { name: "admin.tls", words: "The operators' listener over TLS, with the keys of `tls`.", keys: FILES };

pub(super) const ADMIN: KeyBlock = KeyBlock {
    name: "admin",
    words: "A second HTTP listener: `/metrics`, `/livez`, `/readyz`, and a status page at `/`.",
    keys: &[
        Key {
            name: "listen",
            takes: Takes::Text(|| "HOST:PORT; port 0 takes a free one".to_owned()),
            default: Fallback::Follows("none"),
            words: "Where it listens. An address that others reach is warned of unless `token_file` and `tls` are there, too.",
        },
        Key {
            name: "token_file",
            takes: Takes::Text(|| {
                "the path of a file with one token, of 16 bytes or more, that not everybody may read".to_owned()
            }),
            default: Fallback::Follows("nothing is asked for"),
            words: "What whoever asks has to show, as `Authorization: Bearer`. Only `/livez` is answered without.",
        },
        Key { name: "tls", takes: Takes::Block, default: Fallback::Follows("in clear"), words: "Its certificate." },
    ],
};
