//! What holds of whatever bytes are read as stored records and rows, and as chunks of a snapshot.

use bytes::Bytes;
use prost::Message;
use sessile_core::{Header, NamespaceId, Record, Recount, Row, RowKey, SessionKey, State, value_hash};

use super::snapshot_wire::{Item, decode_chunk, encode_chunk};
use super::stored::{decode_record, encode_record, encode_row, parse_record_key, parse_row, record_key, row_key};
use crate::codec::unplain;
use crate::wire;

/// A record under a key, the key's length before both: it is refused, or comes back as it went.
pub fn record(bytes: &[u8]) {
    let (key, stored) = key_and_value(bytes);
    if let Ok((namespace, session_key)) = parse_record_key(&key) {
        assert_eq!(record_key(namespace, &session_key), key);
    }
    if let Ok(record) = decode_record(&key, &stored) {
        stored_record(&key, &record);
    }
    // A checksum keeps made-up headers out; past it, any header has to come back.
    if let Ok((header, used)) = unplain::<Header>(&stored) {
        let value = stored.slice(used..);
        let header = Header { value_bytes: value.len() as u64, value_hash: value_hash(&value), ..header };
        stored_record(&key, &Record { header, value });
    }
}

fn stored_record(key: &[u8], record: &Record) {
    let stored = encode_record(key, record);
    assert_eq!(decode_record(key, &stored).as_ref(), Ok(record));
    let elsewhere = [key, b"2"].concat();
    assert!(decode_record(&elsewhere, &stored).is_err(), "it is taken for a record of another key");
}

/// A row under a key, the key's length before both: it is refused, or comes back as it went and can be put back.
pub fn row(bytes: &[u8]) {
    let (key, stored) = key_and_value(bytes);
    if let Ok((key, row)) = parse_row(&key, &stored) {
        stored_row(key, row);
    }
    // A checksum keeps made-up rows out; past it, any row has to come back.
    if let Ok(((key, row), _)) = unplain::<(RowKey, Row)>(&stored) {
        stored_row(key, row);
    }
}

fn stored_row(key: RowKey, row: Row) {
    let (stored_key, stored) = (row_key(&key), encode_row(&key, &row));
    let again = parse_row(&stored_key, &stored).map(|(key, row)| (row_key(&key), encode_row(&key, &row)));
    assert_eq!(again, Ok((stored_key, stored)));
    // Refused, if it is of another kind than its key; never a panic.
    let _ = State::default().restore(key, row);
}

/// A chunk and its number: it is refused, or says what was sent. Its body, past the checksum: items that come back.
pub fn snapshot(bytes: &[u8]) {
    let (&sequence, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (sequence, rest) = (u64::from(sequence), Bytes::copy_from_slice(rest));
    if let Ok(body) = decode_chunk(sequence, rest.clone()) {
        assert_eq!(decode_chunk(sequence, encode_chunk(sequence, body.clone())).as_ref(), Ok(&body));
        items(body);
    }
    assert_eq!(decode_chunk(sequence, encode_chunk(sequence, rest.clone())).as_ref(), Ok(&rest));
    items(rest);
}

/// Does with a body what a receiver does, short of the engine.
fn items(body: Bytes) {
    let Ok(wire::SnapshotBody { items, .. }) = wire::SnapshotBody::decode(body) else { return };
    let (mut state, mut recount) = (State::default(), Recount::default());
    for sent in items {
        match Item::from_wire(sent.clone()) {
            Ok(Item::Row(key, row)) => {
                stored_row(key.clone(), row.clone());
                let _ = state.restore(key, row);
            }
            Ok(Item::Record(namespace, key, record)) => {
                recount.add(&state, namespace, &key, &record.header);
                record_under(namespace, &key, &record);
            }
            Err(_) => continue,
        }
        let again = Item::from_wire(sent).and_then(Item::into_wire);
        let once_more = again.clone().and_then(Item::from_wire).and_then(Item::into_wire);
        assert!(again.is_ok() && once_more == again, "an item does not come back as it went");
    }
    let _ = recount.difference(&state);
}

fn record_under(namespace: NamespaceId, key: &SessionKey, record: &Record) {
    let stored_key = record_key(namespace, key);
    assert_eq!(parse_record_key(&stored_key).as_ref(), Ok(&(namespace, key.clone())));
    stored_record(&stored_key, record);
}

/// The first byte is the length of the key; what is left is the value.
fn key_and_value(bytes: &[u8]) -> (Bytes, Bytes) {
    let (&length, rest) = bytes.split_first().unwrap_or((&0, &[]));
    let (key, value) = rest.split_at_checked(length.into()).unwrap_or((rest, &[]));
    (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::plain;
    use crate::fuzzing::seeds;
    use crate::state::examples;

    fn with_length(key: &[u8], value: &[u8]) -> Vec<u8> {
        [&[u8::try_from(key.len()).unwrap()], key, value].concat()
    }

    #[test]
    fn every_seed_of_a_record_is_refused_or_comes_back() {
        let key = record_key(NamespaceId::SESSIONS, &examples::key());
        let (stored, empty) =
            (encode_record(&key, &examples::record(b"a session's value")), encode_record(&key, &examples::record(b"")));
        let mut header = Vec::new();
        plain(&examples::record(b"").header, &mut header);
        let made = [
            ("record", with_length(&key, &stored)),
            ("without_value", with_length(&key, &empty)),
            ("header_alone", with_length(&key, &header)),
            ("cut", with_length(&key, &stored[..9])),
        ];
        seeds::hold("record", &made, record);
        let again = decode_record(&key, &stored).map(|record| encode_record(&key, &record));
        assert_eq!(again, Ok(stored));
    }

    #[test]
    fn every_seed_of_a_row_is_refused_or_comes_back() {
        let mut made = Vec::new();
        let rows = examples::rows();
        for (name, key, value) in &rows {
            made.push((*name, with_length(&row_key(key), &encode_row(key, value))));
        }
        let names: Vec<_> = rows.iter().map(|(name, ..)| format!("{name}_unsealed")).collect();
        for (name, (_, key, value)) in names.iter().zip(&rows) {
            let mut unsealed = Vec::new();
            plain(&(key, value), &mut unsealed);
            made.push((name, with_length(&[], &unsealed)));
        }
        seeds::hold("row", &made, row);
    }

    #[test]
    fn every_seed_of_a_snapshot_is_refused_or_says_what_was_sent() {
        let items = examples::rows().into_iter().map(|(_, key, row)| Item::Row(key, row).into_wire().unwrap());
        let record = Item::Record(NamespaceId::SESSIONS, examples::key(), examples::record(b"a session's value"))
            .into_wire()
            .unwrap();
        let body = wire::SnapshotBody { items: items.chain([record]).collect(), totals: None }.encode_to_vec();
        let chunk = |sequence: u8, body: &[u8]| {
            [&[sequence][..], &encode_chunk(sequence.into(), Bytes::copy_from_slice(body))].concat()
        };
        let totals = wire::SnapshotTotals { records: 1, bytes: body.len() as u64, ..Default::default() };
        let last = wire::SnapshotBody { items: Vec::new(), totals: Some(totals) }.encode_to_vec();
        let made = [
            ("first", chunk(0, &body)),
            ("last", chunk(1, &last)),
            ("body", [&[0][..], &body].concat()),
            ("not_the_next", [&[9][..], &chunk(2, &body)[1..]].concat()),
        ];
        seeds::hold("snapshot", &made, snapshot);
    }
}
