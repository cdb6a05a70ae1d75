//! `sessile namespace token`. A token is made here, and only its hash is sent: no node ever has it, unless a client shows it.

use std::process::ExitCode;

use sessile_cluster::Secret;
use sessile_cluster::admin::{AddTokenRequest, RemoveTokenRequest};
use sessile_core::{TokenHash, TokenName, TokenRight};
use sessile_http::token_hash;

use super::show;
use super::token_args::{Add, Remove, TokenCommand};
use crate::exit::{Failure, Status};
use crate::operate::remote::Remote;
use crate::operate::show::{print, say};
use crate::output;

/// What every token begins with, so that one that was lost somewhere is known for what it is.
const PREFIX: &str = "sess_";

pub(super) async fn run(command: &TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Add(asked) => add(asked).await,
        TokenCommand::List(of) => {
            let node = Remote::connect(&of.server).await?;
            let tokens = node.within(node.client().tokens(&of.name)).await?.tokens;
            print(&if of.json { show::tokens_document(&tokens) } else { show::tokens(&tokens) })?;
            Ok(ExitCode::SUCCESS)
        }
        TokenCommand::Remove(Remove { name, token, asked }) => {
            let node = Remote::connect(&asked.server).await?;
            let request = RemoveTokenRequest { namespace: name.clone(), name: token_name(token)?.as_str().to_owned() };
            let done = node.within(node.client().remove_token(request)).await?;
            if asked.json {
                print(&show::done_document(&done))?;
                return Ok(ExitCode::SUCCESS);
            }
            say(&done.what)
        }
    }
}

async fn add(Add { name, token, right, asked }: &Add) -> anyhow::Result<ExitCode> {
    let right = TokenRight::from(*right);
    let made = format!("{PREFIX}{}", Secret::random());
    let hash = token_hash(&made);
    let token = match token {
        Some(token) => token_name(token)?,
        None => token_name(&made_up(&hash))?,
    };
    let node = Remote::connect(&asked.server).await?;
    let request = AddTokenRequest {
        namespace: name.clone(),
        name: token.as_str().to_owned(),
        right: right.name().to_owned(),
        sha256: hash.as_bytes().to_vec().into(),
    };
    let done = node.within(node.client().add_token(request)).await?;
    let shown = match asked.json {
        true => print(&show::token_document(name, &token, right, &made)),
        false => print(&format!("{made}\n")),
    };
    shown.map_err(|error| {
        error.context(format!("the token {token} was added and could not be shown: remove it, and add another"))
    })?;
    output::to_stderr(&format!("{}. It is shown this once; the cluster keeps its hash only\n", done.what));
    Ok(ExitCode::SUCCESS)
}

/// Looked at before anybody is asked: a name that is none may be a token that was given in its place, and is not repeated.
fn token_name(text: &str) -> Result<TokenName, Failure> {
    TokenName::new(text).map_err(|error| Failure::new(Status::Usage, format!("{error}; nothing was changed")))
}

/// A name that no other token has, for whoever wants none: it begins as its hash does.
fn made_up(hash: &TokenHash) -> String {
    let [a, b, c, d, ..] = hash.as_bytes();
    format!("token-{a:02x}{b:02x}{c:02x}{d:02x}")
}
