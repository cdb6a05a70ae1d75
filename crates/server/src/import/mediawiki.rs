//! What MediaWiki's RedisBagOStuff has written, made into what its RESTBagOStuff reads.
//!
//! RedisBagOStuff stores an integer as its digits, so that Redis can count with it, and everything else as `serialize` makes
//! it; it compresses nothing, and tells the extension to serialise nothing itself (`MediumSpecificBagOStuff::serialize`).
//! RESTBagOStuff stores `PHP` or `JSON`, a dot, the base64 of an HMAC-SHA256 or nothing, a dot, and the value in that form
//! (`RESTBagOStuff::encodeBody`). Keys are the same in both. Read in MediaWiki 1.39.

use bytes::Bytes;
use clap::ValueEnum;
use ring::hmac;

use super::fate::Skip;
use super::{json, php::Php};

/// How RESTBagOStuff is configured: its `serialization_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// `'serialization_type' => 'JSON'`
    Json,
    /// `'serialization_type' => 'PHP'`, or none
    Php,
}

impl Form {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Php => "PHP",
        }
    }
}

/// How values are changed on the way.
pub(super) struct Translation {
    form: Form,
    /// RESTBagOStuff's `hmac_key`.
    key: Option<hmac::Key>,
}

impl Translation {
    pub(super) fn new(form: Form, key: Option<&str>) -> Self {
        Self { form, key: key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())) }
    }

    /// What RESTBagOStuff would have stored of the same value.
    pub(super) fn of(&self, value: &[u8]) -> Result<Bytes, Skip> {
        let serialized = match (self.form, integer(value)) {
            (Form::Json, Some(digits)) => digits.to_owned(),
            (Form::Php, Some(digits)) => format!("i:{digits};"),
            (Form::Json, None) => {
                let value = Php::parse(value).map_err(|_| Skip::NotSerialized)?;
                json::encode(&value).map_err(|_| Skip::NotJson)?
            }
            (Form::Php, None) => {
                Php::parse(value).map_err(|_| Skip::NotSerialized)?;
                return Ok(self.body(value));
            }
        };
        Ok(self.body(serialized.as_bytes()))
    }

    fn body(&self, serialized: &[u8]) -> Bytes {
        let seal = self.key.as_ref().map(|key| base64(hmac::sign(key, serialized).as_ref())).unwrap_or_default();
        [self.form.name().as_bytes(), b".", seal.as_bytes(), b".", serialized].concat().into()
    }
}

/// The digits, if that is how PHP writes an integer: `(string)(int)$value === $value`.
fn integer(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    Some(text).filter(|text| number.to_string() == **text)
}

/// RFC 4648, 4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().chain(&[0, 0]).take(3).fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        for nth in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * nth) & 63) as usize];
            text.push(if nth <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(form: Form, value: &[u8]) -> Result<String, Skip> {
        Translation::new(form, None).of(value).map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    /// The right side is what PHP 8.2 printed for `json_encode(unserialize(…))`.
    #[test]
    fn a_value_becomes_what_json_encode_makes_of_it() {
        for (serialized, json) in [
            ("7", "7"),
            ("-7", "-7"),
            ("i:7;", "7"),
            ("N;", "null"),
            ("b:0;", "false"),
            ("b:1;", "true"),
            ("d:0.1;", "0.1"),
            ("d:1;", "1"),
            ("d:1.0E+25;", "1.0e+25"),
            ("d:-0;", "-0"),
            ("s:0:\"\";", "\"\""),
            ("s:3:\"a\";b\";", "Err"),
            ("s:4:\"a\";b\";", "\"a\\\";b\""),
            ("s:7:\"\u{e9}\u{1F600}/\";", "\"\\u00e9\\ud83d\\ude00\\/\""),
            ("s:8:\"\u{1}\u{8}\u{c}\n\r\t\\\u{7f}\";", "\"\\u0001\\b\\f\\n\\r\\t\\\\\u{7f}\""),
            ("a:0:{}", "[]"),
            ("a:2:{i:0;s:1:\"x\";i:1;N;}", "[\"x\",null]"),
            ("a:2:{i:1;i:1;i:0;i:2;}", "{\"1\":1,\"0\":2}"),
            ("a:2:{s:2:\"\u{e9}\";i:1;s:0:\"\";a:1:{i:0;b:1;}}", "{\"\\u00e9\":1,\"\":[true]}"),
            ("a:1:{i:-1;N;}", "{\"-1\":null}"),
        ] {
            let expected = if json == "Err" { Err(Skip::NotSerialized) } else { Ok(format!("JSON..{json}")) };
            assert_eq!(made(Form::Json, serialized.as_bytes()), expected, "{serialized}");
        }
    }

    #[test]
    fn what_has_no_json_is_left_out_and_goes_as_php() {
        for serialized in [
            &b"O:8:\"stdClass\":1:{s:1:\"a\";i:1;}"[..],
            b"a:2:{i:0;a:0:{}i:1;R:2;}",
            b"E:5:\"A:One\";",
            b"C:1:\"A\":3:{};}}",
            b"d:INF;",
            b"s:1:\"\xff\";",
        ] {
            assert_eq!(made(Form::Json, serialized), Err(Skip::NotJson));
            let body = Translation::new(Form::Php, None).of(serialized).unwrap();
            assert_eq!(&body[..], [b"PHP..", serialized].concat());
        }
        assert_eq!(made(Form::Php, b"42"), Ok("PHP..i:42;".to_owned()));
    }

    #[test]
    fn what_mediawiki_did_not_write_is_left_out_in_either_form() {
        let deep = format!("{}N;{}", "a:1:{i:0;".repeat(200), "}".repeat(200));
        for other in [
            "",
            "07",
            "+7",
            " 7",
            "7 ",
            "99999999999999999999",
            "1.5",
            "a|i:1;",
            "{\"a\":1}",
            "N",
            "N;N;",
            "b:2;",
            "i:+1;",
            "d:x;",
            "d:1e999999x;",
            "s:9:\"a\";",
            "a:1:{}",
            "a:9999999999:{i:0;N;}",
            "a:1:{N;N;}",
            "a:1:{i:0;N;",
            "O:1:\"A\":1:{}",
            "s:99999999999999999999:\"a\";",
            "x:1;",
            &deep,
        ] {
            for form in [Form::Json, Form::Php] {
                assert_eq!(made(form, other.as_bytes()), Err(Skip::NotSerialized), "{other}");
            }
        }
    }

    /// `base64_encode(hash_hmac('sha256', 'i:1;', 'secret', true))`
    #[test]
    fn a_value_is_sealed_as_rest_bag_o_stuff_seals_it() {
        let body = Translation::new(Form::Php, Some("secret")).of(b"1").unwrap();
        assert_eq!(&body[..], b"PHP.ezUbBmFqveRlHt2l6GDNGiUCTXDOygTc9sg2l2b4TG8=.i:1;");
        assert_eq!(["", "f", "fo", "foo"].map(|text| base64(text.as_bytes())), ["", "Zg==", "Zm8=", "Zm9v"]);
    }
}
