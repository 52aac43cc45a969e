//! `prove` and `verify`: a file and a public key say what was changed, and where.

use super::{Result, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_sealed_proved_and_verified_without_a_database() -> Result {
    let shop = Shop::new().await?;
    shop.record(3).await?;
    shop.seal(6).await?;
    let tenant = shop.ctx.tenant().to_string();
    let proof = shop.run(&["prove", &tenant])?;
    let file = shop.folder.path().join("proof");
    std::fs::write(&file, &proof.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("3 entries as they were sealed"), "{text}");

    let edited = String::from_utf8(proof.stdout)?.replacen("login.begun", "login.ended", 1);
    std::fs::write(&file, &edited)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(1));
    assert!(
        text.contains("place 1, entry ") && text.contains(": the entry was changed\n"),
        "{text}"
    );

    let cut: String = edited
        .lines()
        .take(2)
        .flat_map(|line| [line, "\n"])
        .collect();
    std::fs::write(&file, cut)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(1));
    assert!(text.contains("the file ends in the middle"), "{text}");

    std::fs::write(&file, [0, 159, 146, 150])?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.starts_with("error: the file does not begin as a proof"),
        "{text}"
    );
    let (code, _) = shop.said(&["verify", "/nowhere", "--tenant", &tenant, "--key", "x:y"])?;
    assert_eq!(code, Some(2));
    let (code, text) = shop.said(&["verify", "/nowhere", "--key", "x:y"])?;
    assert_eq!(code, Some(2));
    assert!(text.contains("--tenant"), "whose log it has to be: {text}");

    let theirs = shop.run(&["prove", &shop.other.tenant().to_string()])?;
    std::fs::write(&file, &theirs.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(1));
    let foreign = format!("line 1: the log belongs to tenant {}", shop.other.tenant());
    assert!(text.starts_with(&foreign), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_entry_and_two_states_of_the_log_are_proved() -> Result {
    let shop = Shop::new().await?;
    for sealed in [4, 8, 12] {
        shop.record(2).await?;
        shop.seal(sealed).await?;
    }
    let tenant = shop.ctx.tenant().to_string();
    let id: tenancy::audit::AuditEntryId = sqlx::query_scalar(
        "SELECT id FROM tenancy.audit_logs WHERE tenant_id = $1 ORDER BY id LIMIT 1",
    )
    .bind(shop.ctx.tenant())
    .fetch_one(&shop.db.superuser().await?)
    .await?;
    let file = shop.folder.path().join("proof");
    let inclusion = shop.run(&["prove", &tenant, "--entry", &id.to_string()])?;
    std::fs::write(&file, &inclusion.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("1 seals, 1 entries as they were sealed"),
        "{text}"
    );
    let inclusion = String::from_utf8(inclusion.stdout)?;
    for (from, to) in [
        ("login.begun", "login.ended"),
        (r#""at":0"#, r#""at":7"#),
        (r#""index":0"#, r#""index":1"#),
    ] {
        std::fs::write(&file, inclusion.replacen(from, to, 1))?;
        let (code, text) = shop.verify(&file)?;
        assert_eq!(code, Some(1), "{to}");
        assert!(
            text.contains(&format!("entry {id}: the proof does not hold")),
            "{text}"
        );
    }

    let consistency = shop.run(&["prove", &tenant, "--from", "1", "--to", "3"])?;
    std::fs::write(&file, &consistency.stdout)?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(0), "{text}");
    let mut edited: serde_json::Value = serde_json::from_slice(&consistency.stdout)?;
    let entries = edited["consistency"]["from"]["entries"].as_u64();
    edited["consistency"]["from"]["entries"] = entries.map(|entries| entries + 1).into();
    std::fs::write(&file, format!("{edited}\n"))?;
    let (code, text) = shop.verify(&file)?;
    assert_eq!(code, Some(1), "{text}");
    let other = shop.run(&[
        "prove",
        &shop.other.tenant().to_string(),
        "--from",
        "1",
        "--to",
        "3",
    ])?;
    std::fs::write(&file, &other.stdout)?;
    assert_eq!(shop.verify(&file)?.0, Some(1), "another tenant's");
    let (code, text) = shop.said(&["prove", &tenant, "--from", "2", "--to", "9"])?;
    assert_eq!(code, Some(2), "{text}");
    Ok(())
}

/// What somebody does to the lines of a file.
type Change<'a> = &'a dyn Fn(&mut Vec<String>);

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table of all that can be found")]
async fn an_export_and_a_public_key_are_enough_to_say_what_was_changed_and_where() -> Result {
    let shop = Shop::new().await?;
    for sealed in [6, 12] {
        shop.record(3).await?;
        shop.seal(sealed).await?;
    }
    let tenant = shop.ctx.tenant().to_string();
    let (_, public) = shop.said(&["public-key"])?;
    std::fs::write(shop.path("keys"), format!("# of 2026\n\n{public}"))?;
    let (keys, heads) = (["--keys", "keys"], ["--keys", "keys", "--anchor", "heads"]);
    let whole = String::from_utf8(shop.run(&["prove", &tenant])?.stdout)?;
    for with in [&keys[..], &heads] {
        let (code, text) = shop.offline(&whole, with)?;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.ends_with("nothing was changed\n"), "{text}");
    }

    let lines: Vec<&str> = whole.lines().collect();
    let at = |kind: &str| -> Vec<usize> {
        let begin = format!("{{\"{kind}\":");
        (0..lines.len())
            .filter(|at| lines[*at].starts_with(&begin))
            .collect()
    };
    let (seals, entries) = (at("seal"), at("entry"));
    let first = entries[0];
    let entry: serde_json::Value = serde_json::from_str(lines[first])?;
    let id = entry["entry"]["record"]["id"].as_str().ok_or("no id")?;
    let last_seal = *seals.last().ok_or("no seal")?;
    let numbers = (seals.len(), lines.len());
    let changes: [(Change<'_>, String); 10] = [
        (
            &|file| file[first] = file[first].replacen("login.begun", "login.ended", 1),
            format!(
                "line {}, seal 1, place 1, entry {id}: the entry was changed\n",
                first + 1
            ),
        ),
        (
            &|file| file[first] = file[first].replacen("\"at\":0", "\"at\":7", 1),
            format!(
                "line {}, seal 1, place 1, entry {id}: the entry was changed\n",
                first + 1
            ),
        ),
        (
            &|file| drop(file.remove(first)),
            format!("seal 1, place 1, entry {id}: the entry is missing\n"),
        ),
        (
            &|file| file.insert(first + 1, file[first].clone()),
            format!(
                "line {}, seal 1, place 1, entry {id}: the entry was added\n",
                first + 2
            ),
        ),
        (
            &|file| file[first] = "{}".to_owned(),
            format!("malformed line {}\n", first + 1),
        ),
        (
            &|file| file[seals[0]] = file[seals[0]].replacen("\"count\":", "\"count\":1", 1),
            format!("line {}, seal 1: the seal was changed\n", seals[0] + 1),
        ),
        (
            &|file| drop(file.drain(seals[0]..seals[1])),
            format!("line {}: the seals 1 to 1 are missing\n", seals[0] + 1),
        ),
        (
            &|file| file[0] = file[0].replacen("\"entries\":6", "\"entries\":5", 1),
            "line 1: the newest seal that is named is not signed\n".to_owned(),
        ),
        (
            &|file| drop(file.pop()),
            format!("line {}: the file ends in the middle\n", numbers.1),
        ),
        (
            &|file| file.truncate(last_seal),
            format!("the seals {0} to {0} are missing\n", numbers.0),
        ),
    ];
    for (change, said) in changes {
        let mut file: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        change(&mut file);
        let file = file.join("\n") + "\n";
        assert_ne!(file, whole, "{said}");
        let (code, text) = shop.offline(&file, &keys)?;
        assert_eq!(code, Some(1), "{said}: {text}");
        assert!(text.contains(&said), "{said}: {text}");
        assert!(text.ends_with("THE LOG WAS CHANGED\n"), "{text}");
    }

    // A tail that was taken away before the export was made shows by the anchor alone.
    let left = numbers.0 - 1;
    let head = std::fs::read_to_string(shop.path("heads"))?
        .lines()
        .filter(|line| line.contains(&tenant))
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find(|head| head["number"] == left)
        .ok_or("no head")?;
    let mut header: serde_json::Value = serde_json::from_str(lines[0])?;
    header["header"]["head"] = head;
    let count = entries.iter().filter(|at| **at < last_seal).count();
    let end = serde_json::json!({ "end": { "seals": left, "entries": count } });
    let cut = format!("{header}\n{}\n{end}\n", lines[1..last_seal].join("\n"));
    let (code, text) = shop.offline(&cut, &keys)?;
    assert_eq!(code, Some(0), "nothing in it tells: {text}");
    let (code, text) = shop.offline(&cut, &heads)?;
    assert_eq!(code, Some(1), "{text}");
    let ahead = format!(": the anchor knows seals up to {}\n", numbers.0);
    assert!(text.contains(&ahead), "{text}");

    let other = "2026-a:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    for (with, said) in [
        (["--key", other], "the seal was changed\n"),
        (
            ["--key", &other.replace("2026-a", "2027")],
            "there is no key `2026-a`\n",
        ),
    ] {
        let (code, text) = shop.offline(&whole, &with)?;
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(said), "{text}");
    }
    for with in [&["--keys", "nowhere"][..], &["--key", "no key"], &[]] {
        let (code, text) = shop.offline(&whole, with)?;
        assert_eq!(code, Some(2), "{with:?}: {text}");
    }
    let (code, text) = shop.offline("", &keys)?;
    assert_eq!(code, Some(2), "{text}");
    Ok(())
}
