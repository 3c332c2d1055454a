//! Administrators' tokens and join tokens: issuing, expiry, revocation.

use bursar_domain::{
    Actor, AuthorityNodeId, Blocker, Command, Effect, FieldFault, JoinTokenId, Rejection, Timestamp, TokenId, join_token, token,
};

use crate::book::*;

fn issue(number: u8, expires_at: Option<Timestamp>) -> Command {
    Command::Token(token::Command::Issue { name: "second".into(), secret: secret(number), expires_at, setup_secret: None })
}

fn revoke(token: u64) -> Command {
    Command::Token(token::Command::Revoke { token: TokenId(token) })
}

fn revoked(token: u64) -> bursar_domain::Event {
    token::Event::Revoked { token: TokenId(token) }.into()
}

fn invite(number: u8, expires_at: Timestamp) -> Command {
    Command::JoinToken(join_token::Command::Issue { secret: secret(number), expires_at })
}

fn withdraw(token: u64) -> Command {
    Command::JoinToken(join_token::Command::Revoke { token: JoinTokenId(token) })
}

fn soon() -> Timestamp {
    START.plus_ms(MINUTE_MS)
}

rules! {
    fn an_administrator_issues_tokens() {
        a_cluster()
            .when(ADMINISTRATOR, issue(2, None))
            .then([token_issued(2, "second", None)])
            .told(Effect::Created, TokenId(2));
        a_cluster().when(ADMINISTRATOR, issue(2, Some(soon()))).then([token_issued(2, "second", Some(soon()))]);
    }

    fn a_token_expires_in_the_future() {
        a_cluster()
            .when(ADMINISTRATOR, issue(2, Some(START)))
            .refused("invalid_field")
            .for_field("expires_at", FieldFault::InThePast);
    }

    fn a_secret_is_issued_once() {
        a_cluster().when(ADMINISTRATOR, issue(1, None)).refused("already_issued").because(Rejection::AlreadyIssued {
            object: TokenId(1).into(),
        });
        a_cluster()
            .and([invited(1)])
            .when(ADMINISTRATOR, invite(1, soon()))
            .refused("already_issued")
            .because(Rejection::AlreadyIssued { object: JoinTokenId(1).into() });
    }

    fn an_administrator_revokes_tokens() {
        a_cluster()
            .and([token_issued(2, "second", None)])
            .when(ADMINISTRATOR, revoke(2))
            .then([revoked(2)])
            .told(Effect::Removed, TokenId(2));
        a_cluster().when(ADMINISTRATOR, revoke(2)).refused("not_found");
    }

    fn a_token_may_revoke_itself_while_another_lasts() {
        a_cluster().and([token_issued(2, "second", None)]).when(ADMINISTRATOR, revoke(1)).then([revoked(1)]);
    }

    fn the_last_token_that_lasts_stays() {
        a_cluster().when(ADMINISTRATOR, revoke(1)).refused("last_credential").because(Rejection::LastCredential);
        a_cluster().and([token_issued(2, "second", Some(soon()))]).when(ADMINISTRATOR, revoke(1)).refused("last_credential");
    }

    fn an_expired_token_can_be_cleared_away() {
        let other = Actor::Token(TokenId(2));
        a_cluster()
            .and([token_issued(2, "second", None), token_issued(3, "third", Some(soon()))])
            .later(MINUTE_MS)
            .when(other, revoke(3))
            .then([revoked(3)]);
    }

    fn a_revoked_token_no_longer_stands() {
        let other = Actor::Token(TokenId(2));
        a_cluster()
            .and([token_issued(2, "second", None), revoked(2)])
            .when(other, create_site("Dublin"))
            .refused("credential_revoked")
            .because(Rejection::CredentialRevoked { actor: other });
    }

    fn a_token_that_was_never_issued_does_not_stand() {
        let made_up = Actor::Token(TokenId(7));
        a_cluster()
            .when(made_up, create_site("Dublin"))
            .refused("credential_revoked")
            .because(Rejection::CredentialRevoked { actor: made_up });
    }

    fn a_token_stands_until_the_instant_at_which_it_expires() {
        let other = Actor::Token(TokenId(2));
        let expiring = || a_cluster().and([token_issued(2, "second", Some(soon()))]);
        expiring().later(MINUTE_MS - 1).when(other, create_site("Dublin")).then([site_created(1, "Dublin")]);
        expiring()
            .later(MINUTE_MS)
            .when(other, create_site("Dublin"))
            .refused("credential_expired")
            .because(Rejection::CredentialExpired { actor: other });
    }

    fn an_administrator_invites_authority_nodes() {
        let expires_at = START.plus_ms(60 * MINUTE_MS);
        a_cluster().when(ADMINISTRATOR, invite(1, expires_at)).then([invited(1)]).told(Effect::Created, JoinTokenId(1));
        a_cluster().when(ADMINISTRATOR, invite(1, START)).refused("invalid_field").for_field("expires_at", FieldFault::InThePast);
    }

    fn an_invitation_is_withdrawn_until_it_is_used() {
        let used = join_token::Event::Used { token: JoinTokenId(1), by: AuthorityNodeId(2) };
        a_cluster()
            .and([invited(1)])
            .when(ADMINISTRATOR, withdraw(1))
            .then([join_token::Event::Revoked { token: JoinTokenId(1) }.into()])
            .told(Effect::Removed, JoinTokenId(1))
            .when(ADMINISTRATOR, withdraw(1))
            .under("another-key")
            .refused("not_found");
        a_cluster()
            .and([invited(1)])
            .and(admitted(2, 1))
            .and([used.into()])
            .when(ADMINISTRATOR, withdraw(1))
            .refused("in_use")
            .because(Rejection::InUse {
                object: JoinTokenId(1).into(),
                blockers: [Blocker { object: AuthorityNodeId(2).into(), name: "joined by it".into() }].into_iter().collect(),
            });
    }
}
