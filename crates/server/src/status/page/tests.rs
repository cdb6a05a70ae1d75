use sessile_cluster::{Alert, AlertKind};

use super::*;
use crate::golden;
use crate::status::examples::{changes, seen, without};
use crate::status::markup::STYLE;

/// The page without what is a file of its own.
fn without_style_and_script(page: &str) -> String {
    page.replace(STYLE, " style.css ").replace(SCRIPT, " script.js ")
}

#[test]
fn the_page_is_what_stands_in_the_golden_files() {
    let check = |name: &str, page: &str| golden::check(name, &without_style_and_script(page));
    let mut one_down = seen(3);
    (one_down.status, one_down.quorum.healthy, one_down.quorum.spare) = (without(one_down.status, &[3]), 2, 0);
    check("status/page.html", &render(Some(&one_down)));
    let mut changed = seen(1);
    (changed.status.recent_changes, changed.hour) = (changes(), Vec::new());
    check("status/page_with_changes.html", &render(Some(&changed)));
    check("status/page_before.html", &render(None));
}

#[test]
fn nothing_that_a_member_calls_itself_becomes_markup() {
    let evil = "<script>alert('&\"')</script>";
    let mut seen = seen(2);
    let status = &mut seen.status;
    for member in &mut status.members {
        (member.name, member.address, member.version) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
        member.id = evil.to_owned();
    }
    status.recent_changes = changes();
    status.recent_changes[0].who = evil.to_owned();
    (status.node_name, status.version, status.cluster_id) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
    (status.waiting_for, status.ready) = (vec![evil.to_owned()], false);
    seen.alerts = vec![Alert { kind: AlertKind::Other, text: evil.to_owned() }];
    seen.namespaces[0].name = evil.to_owned();
    let page = render(Some(&seen));
    let scripts: Vec<_> = page.match_indices("<script").collect();
    assert!(scripts.len() == 1 && page.contains(&format!("<script>{SCRIPT}</script>")), "{page}");
    assert!(!page.contains("alert('&"), "{page}");
    assert!(page.matches("&lt;script&gt;alert(&#39;&amp;&quot;&#39;)&lt;/script&gt;").count() >= 12, "{page}");
}

#[test]
fn what_is_read_aloud_is_the_same_while_nothing_happens() {
    let read_aloud = |page: &str| {
        assert_eq!(page.matches("role=\"status\"").count() + page.matches("aria-live").count(), 1);
        page.lines().find(|line| line.contains("role=\"status\"")).unwrap().to_owned()
    };
    let mut before = seen(3);
    (before.status, before.quorum.healthy, before.quorum.spare) = (without(before.status, &[3]), 2, 0);
    let mut after = before.clone();
    after.at_ms += 5_000;
    after.status.members[2].last_contact_ms = Some(17_345);
    after.status.members[1].lag = 12;
    let (before, after) = (render(Some(&before)), render(Some(&after)));
    assert_ne!(before, after);
    assert_eq!(read_aloud(&before), read_aloud(&after));
    assert!(read_aloud(&before).contains("2 of 3 healthy: one more loss stops writes"), "{}", read_aloud(&before));
    assert!(read_aloud(&before).contains("n2 leads. n3 does not answer."), "{}", read_aloud(&before));
}
