use sessile_cluster::admin::StatusResponse;

use super::row::{label, printable};

/// How many members vote, how many of them answer, and how many more of these may be lost before reads and writes stop;
/// below 0 they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quorum {
    pub(crate) voters: u64,
    pub(crate) healthy: u64,
    pub(crate) spare: i64,
}

impl Quorum {
    /// How it is in words, without a number that goes on while nothing happens: a screen reader reads it each time that it
    /// changes.
    pub(crate) fn in_words(self, status: &StatusResponse) -> String {
        let Self { voters, healthy, spare } = self;
        let so_many = format!("{healthy} of {voters} healthy");
        let all_are = healthy == voters;
        match spare {
            ..0 => {
                let more = if spare == -1 { "one more is".to_owned() } else { format!("{} more are", -spare) };
                format!("{so_many}: reads and writes have stopped until {more}")
            }
            _ if status.leader_id.is_empty() => format!("{so_many}: none of them leads, so reads and writes wait"),
            _ if !status.ready => format!("{so_many}, but this node cannot read or write now"),
            0 if voters == 1 => format!("{so_many}: its loss stops reads and writes"),
            0 if all_are => format!("{so_many}: one loss stops writes"),
            0 => format!("{so_many}: one more loss stops writes"),
            1 if all_are => format!("{so_many}: one may be lost"),
            1 => format!("{so_many}: one more may be lost"),
            _ if all_are => format!("{so_many}: {spare} may be lost"),
            _ => format!("{so_many}: {spare} more may be lost"),
        }
    }
}

/// Who leads, and who does not answer: in words, without a number that goes on while nothing happens.
pub(crate) fn who(status: &StatusResponse) -> String {
    let leader = status.members.iter().find(|member| member.id == status.leader_id);
    let mut sentences: Vec<String> = match leader {
        Some(leader) => vec![format!("{} leads.", label(status, leader))],
        None if !status.leader.is_empty() => vec![format!("{} leads.", printable(&status.leader))],
        None => Vec::new(),
    };
    let silent = status.members.iter().filter(|member| !member.reachable);
    sentences.extend(silent.map(|member| format!("{} does not answer.", label(status, member))));
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::examples::{cluster, without};

    #[test]
    fn what_may_be_lost_is_said_in_words() {
        let status = cluster(3);
        for (voters, healthy, spare, words) in [
            (3, 3, 1, "3 of 3 healthy: one may be lost"),
            (3, 2, 0, "2 of 3 healthy: one more loss stops writes"),
            (3, 1, -1, "1 of 3 healthy: reads and writes have stopped until one more is"),
            (5, 1, -2, "1 of 5 healthy: reads and writes have stopped until 2 more are"),
            (5, 5, 2, "5 of 5 healthy: 2 may be lost"),
            (5, 4, 1, "4 of 5 healthy: one more may be lost"),
            (7, 6, 2, "6 of 7 healthy: 2 more may be lost"),
            (2, 2, 0, "2 of 2 healthy: one loss stops writes"),
            (1, 1, 0, "1 of 1 healthy: its loss stops reads and writes"),
        ] {
            assert_eq!(Quorum { voters, healthy, spare }.in_words(&status), words);
        }
        let quorum = Quorum { voters: 3, healthy: 3, spare: 1 };
        let not_ready = StatusResponse { ready: false, ..cluster(3) };
        assert_eq!(quorum.in_words(&not_ready), "3 of 3 healthy, but this node cannot read or write now");
        let headless = StatusResponse { leader_id: String::new(), leader: String::new(), ..not_ready };
        assert_eq!(quorum.in_words(&headless), "3 of 3 healthy: none of them leads, so reads and writes wait");
        assert_eq!(who(&headless), "");
        assert_eq!(who(&without(cluster(3), &[3])), "n2 leads. n3 does not answer.");
    }
}
