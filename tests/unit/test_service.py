"""Service names out of commands, as people start programs."""

from __future__ import annotations

import pytest

from rbinder.service import UNKNOWN, service_name

PYTHON = "/usr/bin/python3.11"
JAVA = "/usr/lib/jvm/java-17/bin/java"

# executable, command line, working directory, name
COMMANDS = [
    (PYTHON, "python shop.py", "/srv/x", "shop"),
    (PYTHON, "python3 -u -W ignore -X dev /srv/shop.py --port 80", "/", "shop"),
    (PYTHON, "python -m http.server 8000", "/srv/x", "http.server"),
    (PYTHON, "python -mshop.api", "/", "shop.api"),
    (PYTHON, "python -m shop.__main__", "/", "shop"),
    (PYTHON, "python -c pass", "/srv/x", "python3.11"),
    (PYTHON, "python", "/srv/x", "python3.11"),
    (PYTHON, "python app.py", "/srv/cart", "cart"),
    (PYTHON, "python app.py", "/tmp/tmpab12cd", "app"),
    (PYTHON, "python app.py", "/home/ada", "app"),
    (PYTHON, "python src/main.py", "/home/ada/cart", "cart"),
    (PYTHON, "python /srv/cart/src/main.py", "/", "cart"),
    (PYTHON, "python /app/server.py", "/app", "server"),
    (PYTHON, "python ../main.py", "/srv/cart/sub", "cart"),
    (PYTHON, "python manage.py runserver", "/srv/cart", "cart"),
    (PYTHON, "/venv/bin/python /venv/bin/gunicorn -w 2 -b :80 shop:app", "/srv/x", "shop"),
    (PYTHON, "python /venv/bin/gunicorn -w 2 app:app", "/", "app"),
    (PYTHON, "python /venv/bin/gunicorn -w 2 app:app", "/srv/cart", "cart"),
    (PYTHON, "python -m gunicorn --chdir /x shop.wsgi:application", "/", "shop"),
    (PYTHON, "python /venv/bin/gunicorn shop:create_app()", "/", "shop"),
    (PYTHON, "python /venv/bin/gunicorn --reload shop", "/", "shop"),
    (PYTHON, "python /venv/bin/gunicorn", "/", "gunicorn"),
    (PYTHON, "python /venv/bin/uvicorn --host 0.0.0.0 --port 80 shop.main:app", "/", "shop"),
    (PYTHON, "python -m hypercorn shop:app", "/", "shop"),
    (PYTHON, "python /venv/bin/flask --app shop run --port 80", "/", "shop"),
    (PYTHON, "python -m flask --app=shop/web.py run", "/", "web"),
    (PYTHON, "python /venv/bin/flask run", "/srv/x", "flask"),
    (PYTHON, "python /venv/bin/celery -A shop worker", "/", "shop"),
    (PYTHON, "python /venv/bin/shopd --port 1", "/", "shopd"),
    (JAVA, "java -jar service.jar", "/", "service"),
    (JAVA, "java -Xmx1g -Da=b -jar /opt/cart-1.2.3.jar --x", "/", "cart"),
    (JAVA, "java -jar cart-service-2.0.0-SNAPSHOT.jar", "/", "cart-service"),
    (JAVA, "java -jar /srv/cart/target/app.jar", "/", "cart"),
    (JAVA, "java -cp x com.acme.Main", "/", "Main"),
    (JAVA, "java --class-path x:y -ea com.acme.Front 80", "/", "Front"),
    (JAVA, "java -m shop.web/com.acme.Front", "/", "Front"),
    (JAVA, "java /srv/Price.java 8082", "/", "Price"),
    (JAVA, "java", "/", "java"),
    ("/usr/bin/node", "node shop.js", "/", "shop"),
    ("/usr/bin/node", "node server.js", "/srv/cart", "cart"),
    ("/usr/bin/node", "node server.js", "/", "server"),
    ("/usr/bin/node", "node --require ./hook.js dist/index.js", "/srv/cart", "cart"),
    ("/usr/bin/node", "node -e 1", "/srv/x", "node"),
    ("/usr/bin/ruby3.1", "ruby shop.rb", "/", "shop"),
    ("/usr/bin/ruby3.1", "ruby /usr/bin/puma -p 80 config.ru", "/srv/cart", "cart"),
    ("/usr/bin/ruby3.1", "ruby /usr/bin/puma", "/", "puma"),
    ("/usr/bin/ruby3.1", "ruby /usr/bin/bundle exec puma -p 80", "/srv/cart", "cart"),
    ("/usr/bin/perl", "perl shop.pl", "/", "shop"),
    ("/usr/bin/php8.2", "php -S 127.0.0.1:80 -t /srv/shop/public", "/", "shop"),
    ("/usr/bin/php8.2", "php -S 127.0.0.1:80 shop.php", "/", "shop"),
    ("/usr/bin/php8.2", "php -S 127.0.0.1:80", "/srv/cart", "cart"),
    ("/usr/bin/php8.2", "php shop.php", "/", "shop"),
    ("/usr/bin/deno", "deno run --allow-net shop.ts", "/", "shop"),
    ("/usr/bin/bun", "bun run shop.ts", "/", "shop"),
    ("/usr/sbin/nginx", "nginx -g daemon off;", "/", "nginx"),
    ("/usr/bin/curl", "curl http://x/", "/", "curl"),
    ("/srv/shop/bin/server", "./bin/server", "/", "shop"),
    ("/tmp/go-build123/b001/exe/main", "/tmp/go-build123/b001/exe/main", "/srv/cart", "cart"),
    ("/srv/cart/target/release/cart-api", "cart-api", "/", "cart-api"),
    ("/usr/bin/dash", "sh -c something", "/srv/x", "sh"),
    ("/usr/bin/bash", "-bash", "/", "bash"),
    ("/usr/bin/dash", "/bin/sh ./deploy.sh", "/", "deploy"),
    ("", "shopd --x", "/", "shopd"),
    ("", "", "", UNKNOWN),
]


@pytest.mark.parametrize(("executable", "command", "directory", "name"), COMMANDS)
def test_names(executable: str, command: str, directory: str, name: str) -> None:
    assert service_name(executable, command.split(), directory) == name
