//! Who is there: the keys of a namespace, as they come.

use std::process::ExitCode;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use sessile_cluster::admin::{KeyStatus, ListKeysRequest};

use super::args::Keys;
use crate::operate::remote::Remote;
use crate::operate::show::print;
use crate::status::row::printable;

/// `sessile namespace keys`.
pub(super) async fn run(keys: &Keys) -> anyhow::Result<ExitCode> {
    let node = Remote::connect(&keys.server).await?;
    let request = ListKeysRequest { namespace: keys.name.clone(), group: keys.group.clone(), count_only: keys.count };
    let mut client = node.client();
    let asked = if keys.reveal { client.reveal_keys(request) } else { client.keys(request) };
    let mut pages = node.within(asked).await?;
    let mut output = Output::of(keys);
    let mut count = 0;
    print(output.head())?;
    while let Some(page) = pages.next().await {
        let page = node.told(page)?;
        count += page.count;
        print(&page.keys.iter().map(|key| output.line(key)).collect::<String>())?;
    }
    print(&output.tail(count))?;
    Ok(ExitCode::SUCCESS)
}

/// How they are shown.
enum Output {
    Count { json: bool },
    Lines,
    Document { is_first: bool },
}

impl Output {
    fn of(keys: &Keys) -> Self {
        match (keys.count, keys.json) {
            (true, json) => Self::Count { json },
            (false, true) => Self::Document { is_first: true },
            (false, false) => Self::Lines,
        }
    }

    fn head(&self) -> &'static str {
        match self {
            Self::Count { .. } => "",
            Self::Lines => "      BYTES     EXPIRES IN  KEY\n",
            Self::Document { .. } => "[",
        }
    }

    /// One key: of one that is not revealed, its group and a hash.
    fn line(&mut self, of: &KeyStatus) -> String {
        match self {
            Self::Count { .. } => String::new(),
            Self::Lines => {
                let expires_in = of.expires_in_ms.map_or("-".to_owned(), |left| format!("{} s", left / 1_000));
                let name = match (of.key.as_str(), of.group.as_str()) {
                    ("", "") => format!("({})", of.hash),
                    ("", group) => format!("{}:({})", printable(group), of.hash),
                    (key, _) => printable(key),
                };
                format!("{:>11}  {expires_in:>13}  {name}\n", of.bytes)
            }
            Self::Document { is_first } => {
                let separator = if std::mem::replace(is_first, false) { "\n  " } else { ",\n  " };
                format!("{separator}{}", document(of))
            }
        }
    }

    fn tail(&self, count: u64) -> String {
        match self {
            Self::Count { json: true } => format!("{}\n", json!({ "keys": count })),
            Self::Count { json: false } => format!("{count}\n"),
            Self::Lines => String::new(),
            Self::Document { is_first: true } => "]\n".to_owned(),
            Self::Document { is_first: false } => "\n]\n".to_owned(),
        }
    }
}

fn document(of: &KeyStatus) -> Value {
    let key = Some(of.key.as_str()).filter(|key| !key.is_empty());
    json!({ "group": of.group, "hash": of.hash, "key": key, "bytes": of.bytes, "expires_in_ms": of.expires_in_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str, group: &str, expires_in_ms: Option<u64>) -> KeyStatus {
        KeyStatus { group: group.into(), hash: "0123456789abcdef".into(), key: key.into(), bytes: 42, expires_in_ms }
    }

    fn shown(mut output: Output, keys: &[KeyStatus]) -> String {
        let lines: String = keys.iter().map(|key| output.line(key)).collect();
        format!("{}{lines}{}", output.head(), output.tail(keys.len() as u64))
    }

    #[test]
    fn keys_are_shown_by_their_hash_or_as_they_are_and_never_move_a_terminal() {
        let keys = [key("", "enwiki", Some(59_999)), key("", "", None), key("a:b\u{1b}[2J", "a", Some(0))];
        let expected = "      BYTES     EXPIRES IN  KEY
         42           59 s  enwiki:(0123456789abcdef)
         42              -  (0123456789abcdef)
         42            0 s  ";
        let lines = shown(Output::Lines, &keys);
        assert!(lines.starts_with(expected) && !lines.contains('\u{1b}'), "{lines}");
        assert_eq!(shown(Output::Count { json: false }, &keys), "3\n");
        assert_eq!(shown(Output::Count { json: true }, &keys), "{\"keys\":3}\n");
        for count in 0..=keys.len() {
            let text = shown(Output::Document { is_first: true }, &keys[..count]);
            let document: Vec<Value> = serde_json::from_str(&text).unwrap();
            assert_eq!(document.len(), count, "{text}");
            assert!(document.iter().take(2).all(|key| key["key"].is_null() && key["hash"].is_string()), "{text}");
        }
    }
}
