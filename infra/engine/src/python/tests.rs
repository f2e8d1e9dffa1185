use std::os::unix::fs::symlink;

use super::*;

#[test]
fn hashes_comments_and_origins_are_not_counted_as_packages() {
    let requirements = "# by hand\nboto3==1.2 \\\n    --hash=sha256:00==\n    # via x\ncffi==2 ; python_version != '3'\n";
    assert_eq!(pinned(requirements), 2);
}

#[test]
fn a_hint_is_about_what_the_output_says() {
    let full = "Error: [Errno 28] No space left on device: '/x/bin/python'";
    let debian =
        "The virtual environment was not created successfully because ensurepip is not available.";
    let offline =
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError'";
    for (output, part) in [
        (full, "disk is full"),
        (debian, "python3-venv"),
        (offline, "network"),
    ] {
        let hint = hint(output);
        assert!(hint.contains(part), "{output}: {hint}");
        assert_eq!(output == debian, hint.contains("apt install"), "{hint}");
    }
    assert_eq!(hint("Error: something else"), "");
}

#[test]
fn pips_collecting_lines_name_the_package() {
    for (line, expected) in [
        (
            "Collecting boto3==1.44.5 (from -r r.txt (line 4))",
            Some("boto3"),
        ),
        (
            "Requirement already satisfied: flask==3 in /x",
            Some("flask"),
        ),
        ("  Downloading boto3-1.44.5.whl (140 kB)", None),
        ("Installing collected packages: a, b", None),
    ] {
        assert_eq!(collected(line), expected, "{line}");
    }
}

/// What a shell does with a script.
async fn answer(script: &str) -> Output {
    let mut shell = crate::environment::bare("/bin/sh");
    shell.args(["-c", script]);
    let shell = shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    Group::start(shell).unwrap().output().await.unwrap()
}

#[tokio::test]
async fn a_python_is_asked_for_its_version_and_for_venv() {
    for (script, expected) in [
        ("echo 3 10 '/a b/python'", Ok("/a b/python")),
        ("echo 4 0 /python", Ok("/python")),
        (
            "echo 3 9 /usr/bin/python3",
            Err("Python 3.9 at /usr/bin/python3 is too old"),
        ),
        (
            "echo 3 12 /python; exit 1",
            Err(
                "Python 3.12 at /python has no venv (on Debian and Ubuntu: apt install python3.12-venv)",
            ),
        ),
        (
            "echo a; echo b >&2; echo c >&2; exit 2",
            Err("does not run: c"),
        ),
    ] {
        let expected = expected.map(PathBuf::from).map_err(str::to_owned);
        assert_eq!(usable(&answer(script).await), expected, "{script}");
    }
}

#[tokio::test]
async fn a_newer_python_is_taken_if_python3_cannot_be_used() {
    let path = std::env::var_os("PATH").unwrap();
    let works = find(&path).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = find(folder.path().as_os_str()).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("Python 3.10 or later is needed")
    );
    symlink("/bin/sh", folder.path().join("python3")).unwrap();
    let error = find(folder.path().as_os_str())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("\npython3: does not run: "), "{error}");
    let newer = folder.path().join("python3.12");
    symlink(works, &newer).unwrap();
    assert_eq!(find(folder.path().as_os_str()).await.unwrap(), newer);
}

#[tokio::test]
async fn an_environment_is_whole_if_it_can_be_imported_and_is_made_anew_if_not() {
    let target = tempfile::tempdir().unwrap();
    let nothing = |modules| Packages {
        name: "nothing",
        requirements: "# It needs no network.\n",
        modules,
    };
    for _ in 0..2 {
        let refused = install(target.path(), nothing("json, nowhere"), |_| ()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("No module named 'nowhere'"), "{refused}");
    }
    let installations = std::cell::Cell::new(0);
    let install = || {
        let count = |progress: Progress| {
            if progress.total == progress.done && progress.package.is_empty() {
                installations.set(installations.get() + 1);
            }
        };
        install(target.path(), nothing("pip"), count)
    };
    let python = install().await.unwrap();
    let home = python.parent().unwrap().parent().unwrap();
    let made = installations.get();
    install().await.unwrap();
    assert_eq!(installations.get(), made, "it was whole");
    fs::remove_dir_all(home.join("lib")).unwrap();
    assert_eq!(install().await.unwrap(), python);
    assert!(installations.get() > made, "it was broken");

    // The environment's programs have its old place in them.
    let moved = target.path().join("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(target.path().join("local"), moved.join("local")).unwrap();
    let home = moved.join("local").join(home.file_name().unwrap());
    assert!(!is_whole(&home, nothing("pip")).await);
}
