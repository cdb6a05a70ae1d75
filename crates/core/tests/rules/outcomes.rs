//! An outcome on its way back.

use super::*;
use sessile_core::{Limit, NamespaceChanged, NamespaceRefusal};

fn namespace_refusal() -> impl Strategy<Value = NamespaceRefusal> {
    let by = || any::<u32>().prop_map(NamespaceId::new);
    prop_oneof![
        Just(NamespaceRefusal::NotSeeded),
        Just(NamespaceRefusal::Seeded),
        Just(NamespaceRefusal::Unknown),
        by().prop_map(|by| NamespaceRefusal::NameTaken { by }),
        by().prop_map(|by| NamespaceRefusal::BaseUriTaken { by }),
        Just(NamespaceRefusal::TooMany),
        Just(NamespaceRefusal::Changed),
        (any::<u64>(), any::<u64>()).prop_map(|(keys, bytes)| NamespaceRefusal::NotEmpty { keys, bytes }),
        (any::<u64>(), any::<u64>()).prop_map(|(keys, bytes)| NamespaceRefusal::QuotaBelow { keys, bytes }),
        Just(NamespaceRefusal::UnknownGroup),
        Just(NamespaceRefusal::TooManyGroups),
        Just(NamespaceRefusal::UnknownToken),
        Just(NamespaceRefusal::TooManyTokens),
        Just(NamespaceRefusal::TokenNameTaken),
        Just(NamespaceRefusal::TokenTaken),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let time = || any::<u64>().prop_map(LogTime::from_millis);
    let taken = (prop::collection::vec(any::<u8>(), 0..200), any::<u64>(), time(), time());
    let taken = taken.prop_map(|(value, version, expires_at, clock)| sessile_core::Taken {
        value: value.into(),
        version: Version::new(version),
        expires_at,
        clock,
    });
    let refusal = prop_oneof![
        Just(Refusal::ConditionFailed),
        any::<u64>().prop_map(|current| Refusal::UnknownIncarnation { current }),
        Just(Refusal::Forgotten),
        Just(Refusal::WindowFull),
        Just(Refusal::TooManyProposers),
        Just(Refusal::Malformed),
        Just(Refusal::RulesUnsupported),
        Just(Refusal::Removed),
        prop_oneof![Just(Limit::Keys), Just(Limit::Bytes), Just(Limit::Value), Just(Limit::Lifetime)]
            .prop_map(Refusal::Limit),
        namespace_refusal().prop_map(Refusal::Namespace),
    ];
    prop_oneof![
        any::<u64>().prop_map(|version| Outcome::Written { version: Version::new(version) }),
        (any::<bool>(), prop::option::of(taken)).prop_map(|(existed, taken)| Outcome::Deleted { existed, taken }),
        any::<u64>().prop_map(|incarnation| Outcome::Registered { incarnation }),
        Just(Outcome::Ticked),
        any::<u32>().prop_map(|version| Outcome::Rules { version: RulesVersion::new(version) }),
        refusal.prop_map(Outcome::Refused),
        any::<u64>().prop_map(|entry| Outcome::Noted { entry }),
        (any::<u32>(), any::<u64>(), any::<u64>()).prop_map(|(namespace, keys, bytes)| {
            Outcome::Namespace(NamespaceChanged { namespace: NamespaceId::new(namespace), keys, bytes })
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_outcome_comes_back_as_it_went(outcome in outcome()) {
        prop_assert_eq!(Outcome::decode(outcome.encode()), Ok(outcome));
    }

    #[test]
    fn any_bytes_are_an_outcome_or_a_refusal_to_read_them(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        if let Ok(outcome) = Outcome::decode(bytes.into()) {
            prop_assert_eq!(Outcome::decode(outcome.encode()), Ok(outcome));
        }
    }
}

#[test]
fn an_outcome_of_a_newer_program_is_not_taken_for_another() {
    let newer: [(&[u8], &str); 3] = [
        (&[], "its kind is unknown"),
        (&[0xfa, 0x01, 0x00], "its kind is unknown"),
        // A refusal for a reason that is not known.
        (&[0x32, 0x03, 0xfa, 0x01, 0x00], "its reason is unknown"),
    ];
    for (bytes, what) in newer {
        let error = Outcome::decode(Bytes::copy_from_slice(bytes)).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn an_outcome_never_shows_the_value_that_it_hands_out() {
    let taken = sessile_core::Taken {
        value: Bytes::from_static(b"topsecret"),
        version: Version::new(3),
        expires_at: LogTime::NEVER,
        clock: LogTime::default(),
    };
    let shown = format!("{:?}", Outcome::Deleted { existed: true, taken: Some(taken) });
    assert!(shown.contains("9 bytes") && !shown.contains("topsecret") && !shown.contains("116, 111"), "{shown}");
}
