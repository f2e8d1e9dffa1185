use std::os::unix::fs::symlink;

use super::*;

#[test]
fn hashes_comments_and_origins_are_not_counted_as_packages() {
    let requirements = "# by hand\nboto3==1.2 \\\n    --hash=sha256:00==\n    # via x\ncffi==2 ; python_version != '3'\n";
    assert_eq!(pinned_count(requirements), 2);
}

#[test]
fn a_hint_fits_the_error_in_the_output() {
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
fn the_lines_with_which_pip_begins_a_package_are_recognized() {
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
        assert_eq!(package_in(line), expected, "{line}");
    }
}

/// Runs a script in a shell, and returns its output.
async fn output_of(script: &str) -> Output {
    let mut shell = crate::environment::bare("/bin/sh");
    shell.args(["-c", script]);
    let shell = shell.stdout(Stdio::piped()).stderr(Stdio::piped());
    Group::start(shell).unwrap().output().await.unwrap()
}

#[tokio::test]
async fn a_python_is_checked_for_its_version_and_for_venv() {
    for (script, expected) in [
        ("echo 3 10 '/a b/python'", Ok("/a b/python")),
        ("echo 4 0 /python", Ok("/python")),
        (
            "echo 3 9 /usr/bin/python3",
            Err("Python 3.9 at /usr/bin/python3 is too old"),
        ),
        (
            "echo 3 12 /python; echo \"ModuleNotFoundError: No module named 'ensurepip'\" >&2; exit 1",
            Err(
                "Python 3.12 at /python has no venv (on Debian and Ubuntu: apt install python3.12-venv)",
            ),
        ),
        (
            "echo 3 12 /python; echo Traceback >&2; echo OSError: a >&2; exit 1",
            Err("Python 3.12 at /python fails: OSError: a"),
        ),
        (
            "echo a; echo b >&2; echo c >&2; exit 2",
            Err("does not run: c"),
        ),
    ] {
        let expected = expected.map(PathBuf::from).map_err(str::to_owned);
        assert_eq!(
            interpreter_of(&output_of(script).await),
            expected,
            "{script}"
        );
    }
}

#[tokio::test]
async fn the_newest_other_python_is_used_if_python3_cannot_be_used() {
    let path = std::env::var_os("PATH").unwrap();
    let works = find_python(&path).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = find_python(folder.path().as_os_str()).await.unwrap_err();
    let expected = "Python 3.10 or later is needed, with venv. On Debian and Ubuntu: apt install python3 python3-venv";
    assert_eq!(error.to_string(), expected);
    symlink("/bin/sh", folder.path().join("python3")).unwrap();
    let error = find_python(folder.path().as_os_str())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("\npython3: does not run: "), "{error}");
    assert!(!error.contains("apt install"), "{error}");
    let [older, newer] = ["python3.12", "python3.27"].map(|name| folder.path().join(name));
    symlink(&works, &older).unwrap();
    assert_eq!(find_python(folder.path().as_os_str()).await.unwrap(), older);
    symlink(works, &newer).unwrap();
    assert_eq!(find_python(folder.path().as_os_str()).await.unwrap(), newer);
}

#[tokio::test]
async fn packages_are_installed_into_the_environment_whatever_pip_conf_says() {
    let folder = tempfile::tempdir().unwrap();
    let (home, elsewhere) = (folder.path().join("venv"), folder.path().join("elsewhere"));
    let lock = File::create(folder.path().join("lock")).unwrap();
    make_venv(&home, &lock).await.unwrap();
    let python = home.join("bin/python");
    let place = elsewhere.display();
    let configuration = format!("[install]\ntarget = {place}\nroot = {place}\nuser = true\n");
    fs::write(home.join("pip.conf"), configuration).unwrap();

    let make_wheel = r#"import hashlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    for name, text in {
        "tiny.py": "",
        "tiny-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
        "tiny-1.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "tiny-1.dist-info/RECORD": "tiny.py,,\n",
    }.items():
        wheel.writestr(name, text)
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())"#;
    let mut wheel = command(Child::Engine, &python);
    wheel.args(["-Ic", make_wheel]);
    wheel.arg(folder.path().join("tiny-1-py3-none-any.whl"));
    let made = Group::start(wheel.stdout(Stdio::piped())).unwrap();
    let hash = String::from_utf8(made.output().await.unwrap().stdout).unwrap();
    let requirements = format!(
        "--no-index\n--find-links {}\ntiny==1 --hash=sha256:{hash}",
        folder.path().display()
    );
    let packages = Packages {
        name: "tiny",
        requirements: requirements.leak(),
        modules: "tiny",
    };
    let installed = install_packages(&python, &home, packages, &lock, |_| ()).await;
    installed.unwrap();
    check_imports(&python, packages).await.unwrap();
    assert!(!elsewhere.exists());
}

#[tokio::test]
async fn an_environment_whose_modules_cannot_be_imported_is_created_again() {
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
    assert_eq!(installations.get(), made, "it was complete");
    fs::remove_dir_all(home.join("lib")).unwrap();
    assert_eq!(install().await.unwrap(), python);
    assert!(installations.get() > made, "it was broken");

    // The programs of the environment contain its old path.
    let moved = target.path().join("moved");
    fs::create_dir(&moved).unwrap();
    fs::rename(target.path().join("local"), moved.join("local")).unwrap();
    let home = moved.join("local").join(home.file_name().unwrap());
    assert!(!is_complete_and_works(&home, nothing("pip")).await);
}
