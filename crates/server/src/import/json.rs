//! What PHP's `json_encode` makes of a value, to the byte, with the flags that RESTBagOStuff gives it: none.

use std::fmt::Write;

use super::php::{Key, Php};

/// There is no JSON for it that MediaWiki reads back as the same: an object, a reference, an infinite number, or text that is
/// not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotJson;

/// The value as JSON.
pub(super) fn encode(value: &Php<'_>) -> Result<String, NotJson> {
    let mut json = String::new();
    write_value(&mut json, value)?;
    Ok(json)
}

fn write_value(json: &mut String, value: &Php<'_>) -> Result<(), NotJson> {
    match value {
        Php::Null => json.push_str("null"),
        Php::Bool(true) => json.push_str("true"),
        Php::Bool(false) => json.push_str("false"),
        Php::Int(number) => {
            let _ = write!(json, "{number}");
        }
        Php::Float("INF" | "-INF" | "NAN") | Php::Opaque => return Err(NotJson),
        Php::Float(number) => json.push_str(&number.to_ascii_lowercase()),
        Php::Text(text) => write_text(json, text)?,
        Php::Array(elements) if is_list(elements) => {
            json.push('[');
            for (nth, (_, value)) in elements.iter().enumerate() {
                json.push_str(if nth == 0 { "" } else { "," });
                write_value(json, value)?;
            }
            json.push(']');
        }
        Php::Array(elements) => {
            json.push('{');
            for (nth, (key, value)) in elements.iter().enumerate() {
                json.push_str(if nth == 0 { "" } else { "," });
                match key {
                    Key::Int(number) => {
                        let _ = write!(json, "\"{number}\"");
                    }
                    Key::Text(text) => write_text(json, text)?,
                }
                json.push(':');
                write_value(json, value)?;
            }
            json.push('}');
        }
    }
    Ok(())
}

/// Whether its keys are 0, 1, 2 and so on.
fn is_list(elements: &[(Key<'_>, Php<'_>)]) -> bool {
    (0..).zip(elements).all(|(nth, (key, _))| *key == Key::Int(nth))
}

fn write_text(json: &mut String, text: &[u8]) -> Result<(), NotJson> {
    let text = std::str::from_utf8(text).map_err(|_| NotJson)?;
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '/' => json.push_str("\\/"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            ' '..='\u{7f}' => json.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
        }
    }
    json.push('"');
    Ok(())
}
