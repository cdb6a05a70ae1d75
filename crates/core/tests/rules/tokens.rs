//! Tokens of namespaces against a plain model; and what each rule does at its edges.

use super::namespaces::{Farm, settings};
use super::*;
use sessile_core::{
    MAX_TOKENS, NamespaceChanged, NamespaceCommand, NamespaceRefusal, NamespaceToken, TokenHash, TokenName, TokenRight,
};

const NAMES: [&str; 3] = ["php", "cron", "next"];
const HOUR: u64 = 3_600_000;

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Add {
        name: usize,
        right: usize,
        hash: u8,
    },
    Remove {
        name: usize,
    },
    /// So many milliseconds before the clock of the state, or after it.
    Use {
        hash: u8,
        before: i64,
    },
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let hash = || 0..4_u8;
    prop_oneof![
        3 => (0..NAMES.len(), 0..3_usize, hash()).prop_map(|(name, right, hash)| Step::Add { name, right, hash }),
        1 => (0..NAMES.len()).prop_map(|name| Step::Remove { name }),
        2 => (hash(), -10_000_000..10_000_000_i64).prop_map(|(hash, before)| Step::Use { hash, before }),
    ]
}

/// What a step says to a state of that clock.
pub(crate) fn command(namespace: NamespaceId, step: &Step, clock: LogTime) -> NamespaceCommand {
    match *step {
        Step::Add { name, right, hash } => add(namespace, NAMES[name], TokenRight::ALL[right], hash),
        Step::Remove { name } => NamespaceCommand::RemoveToken { namespace, name: named(NAMES[name]) },
        Step::Use { hash, before } => {
            let used_at = LogTime::from_millis(clock.as_millis().saturating_add_signed(-before));
            NamespaceCommand::TokenUsed { namespace, hash: hash_of(hash), used_at }
        }
    }
}

fn named(name: &str) -> TokenName {
    TokenName::new(name).unwrap()
}

fn hash_of(token: u8) -> TokenHash {
    TokenHash::new([token; 32])
}

fn add(namespace: NamespaceId, name: &str, right: TokenRight, token: u8) -> NamespaceCommand {
    NamespaceCommand::AddToken { namespace, name: named(name), right, hash: hash_of(token) }
}

/// Which tokens there are, as a table of its own.
#[derive(Default)]
pub(crate) struct TokenModel(BTreeMap<(NamespaceId, TokenName), NamespaceToken>);

impl TokenModel {
    /// Does what was said, and asserts that the outcome and the state are those.
    pub(crate) fn apply(&mut self, state: &State, command: &Command, outcome: &Outcome) {
        if let Command::Namespace(command) = command
            && let Some(expected) = self.expected(state, command)
        {
            let expected = match expected {
                Ok(namespace) => Outcome::Namespace(NamespaceChanged { namespace, keys: 0, bytes: 0 }),
                Err(refusal) => Outcome::Refused(Refusal::Namespace(refusal)),
            };
            assert_eq!(*outcome, expected, "{command:?}");
        }
        let there = state
            .namespaces()
            .iter()
            .flat_map(|(id, of)| of.tokens().iter().map(move |(name, token)| ((id, name.clone()), token.clone())));
        self.0.retain(|(id, _), _| state.namespaces().get(*id).is_some());
        assert_eq!(there.collect::<BTreeMap<_, _>>(), self.0, "after {command:?}");
    }

    fn expected(&mut self, state: &State, command: &NamespaceCommand) -> Option<Result<NamespaceId, NamespaceRefusal>> {
        let (NamespaceCommand::AddToken { namespace, .. }
        | NamespaceCommand::RemoveToken { namespace, .. }
        | NamespaceCommand::TokenUsed { namespace, .. }) = command
        else {
            return None;
        };
        let namespace = *namespace;
        if state.namespaces().get(namespace).is_none() {
            return Some(Err(NamespaceRefusal::Unknown));
        }
        let known = |hash: &TokenHash| {
            let mut of = self.0.iter().filter(|((id, _), _)| *id == namespace);
            of.find(|(_, token)| token.hash == *hash).map(|((_, name), token)| (name.clone(), token.right))
        };
        Some(match command {
            NamespaceCommand::AddToken { name, right, hash, .. } => match known(hash) {
                Some(same) if same == (name.clone(), *right) => Ok(namespace),
                Some(_) => Err(NamespaceRefusal::TokenTaken),
                None if self.0.contains_key(&(namespace, name.clone())) => Err(NamespaceRefusal::TokenNameTaken),
                None => {
                    let token = NamespaceToken { right: *right, hash: *hash, added_at: state.clock(), used_at: None };
                    self.0.insert((namespace, name.clone()), token);
                    Ok(namespace)
                }
            },
            NamespaceCommand::RemoveToken { name, .. } => match self.0.remove(&(namespace, name.clone())) {
                Some(_) => Ok(namespace),
                None => Err(NamespaceRefusal::UnknownToken),
            },
            NamespaceCommand::TokenUsed { hash, used_at, .. } => {
                let used = used_at.as_millis().min(state.clock().as_millis());
                let used = LogTime::from_millis(used - used % HOUR);
                let known = self.0.iter_mut().find(|((id, _), token)| *id == namespace && token.hash == *hash);
                if let Some((_, token)) = known {
                    token.used_at = token.used_at.max(Some(used));
                }
                Ok(namespace)
            }
            _ => return None,
        })
    }
}

#[test]
fn rules_of_before_know_no_tokens_and_members_of_before_agree() {
    let mut farm = Farm::default();
    farm.say(1, Command::RaiseRules(RulesVersion::NAMESPACES));
    farm.ask(2, NamespaceCommand::Seed(vec![settings(0)])).unwrap();
    let rows: Vec<_> = farm.state.rows().collect();
    for command in [
        add(SESSIONS, "php", TokenRight::Both, 1),
        NamespaceCommand::RemoveToken { namespace: SESSIONS, name: named("php") },
        NamespaceCommand::TokenUsed { namespace: SESSIONS, hash: hash_of(1), used_at: LogTime::default() },
    ] {
        let refused = farm.say(3, Command::Namespace(command));
        assert_eq!(refused, Outcome::Refused(Refusal::RulesUnsupported));
    }
    assert!(farm.state.rows().eq(rows));
    farm.say(4, Command::RaiseRules(RulesVersion::TOKENS));
    farm.ask(5, add(SESSIONS, "php", TokenRight::Both, 1)).unwrap();
    assert_eq!(farm.state.namespaces().get(SESSIONS).unwrap().tokens().len(), 1);
}

#[test]
fn a_namespace_has_as_many_tokens_as_it_may_have_and_no_more() {
    let mut farm = Farm::new();
    let echo = farm.ask(4, NamespaceCommand::Create(settings(1))).unwrap().namespace;
    for token in 1..=u8::try_from(MAX_TOKENS).unwrap() {
        farm.ask(5, add(SESSIONS, &format!("t{token}"), TokenRight::Read, token)).unwrap();
    }
    let rows: Vec<_> = farm.state.rows().collect();
    for (command, refusal) in [
        (add(SESSIONS, "more", TokenRight::Read, 99), NamespaceRefusal::TooManyTokens),
        (add(SESSIONS, "t1", TokenRight::Read, 99), NamespaceRefusal::TokenNameTaken),
        (add(SESSIONS, "more", TokenRight::Read, 1), NamespaceRefusal::TokenTaken),
        (add(SESSIONS, "t1", TokenRight::Write, 1), NamespaceRefusal::TokenTaken),
        (add(NamespaceId::new(9), "more", TokenRight::Read, 99), NamespaceRefusal::Unknown),
        (NamespaceCommand::RemoveToken { namespace: SESSIONS, name: named("more") }, NamespaceRefusal::UnknownToken),
        (NamespaceCommand::RemoveToken { namespace: echo, name: named("t1") }, NamespaceRefusal::UnknownToken),
    ] {
        assert_eq!(farm.ask(6, command.clone()), Err(refusal), "{command:?}");
        assert!(farm.state.rows().eq(rows.clone()), "a refusal changes nothing");
    }
    farm.ask(7, add(SESSIONS, "t1", TokenRight::Read, 1)).expect("said again, it is there already");
    assert!(farm.state.rows().eq(rows), "and stays as it is");
    farm.ask(8, add(echo, "t1", TokenRight::Write, 1)).expect("another namespace has its own");
    farm.ask(9, NamespaceCommand::RemoveToken { namespace: SESSIONS, name: named("t1") }).unwrap();
    farm.ask(10, add(SESSIONS, "more", TokenRight::Read, 99)).expect("there is a place again");
}

#[test]
fn tokens_outlive_a_truncate_and_a_new_path_and_go_with_their_namespace() {
    let mut farm = Farm::new();
    let echo = farm.ask(4, NamespaceCommand::Create(settings(1))).unwrap().namespace;
    farm.ask(5, add(echo, "php", TokenRight::Both, 1)).unwrap();
    farm.ask(6, NamespaceCommand::Truncate { namespace: echo, group: None }).unwrap();
    let set = NamespaceCommand::Set { namespace: echo, if_changed_at: 6, settings: settings(2) };
    farm.ask(7, set).expect("a token does not change what an operator has chosen of the namespace");
    let tokens = farm.state.namespaces().get(echo).unwrap().tokens().clone();
    assert_eq!(tokens.keys().collect::<Vec<_>>(), [&named("php")]);
    assert_eq!(farm.reload().state.namespaces().get(echo).unwrap().tokens(), &tokens);
    farm.state.take_changes();
    farm.ask(8, NamespaceCommand::Drop { namespace: echo, force: true }).unwrap();
    let gone = farm.state.take_changes();
    assert!(gone.contains(&(RowKey::Token(echo, named("php")), None)), "{gone:?}");
    let again = farm.ask(9, NamespaceCommand::Create(settings(1))).unwrap().namespace;
    assert!(farm.state.namespaces().get(again).unwrap().tokens().is_empty(), "what comes after it is open");
    assert_eq!(farm.reload().state.checksum(), farm.state.checksum());
}

#[test]
fn a_token_without_its_namespace_is_no_state() {
    let token =
        NamespaceToken { right: TokenRight::Read, hash: hash_of(1), added_at: LogTime::default(), used_at: None };
    let restored = State::default().restore(RowKey::Token(NamespaceId::new(9), named("php")), Row::Token(token));
    restored.expect_err("there is no such namespace");
}
