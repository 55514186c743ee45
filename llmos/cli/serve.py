"""``llmos serve``: the model for other programs, over OpenAI's wire format."""

from __future__ import annotations

import asyncio
import socket

import click

from llmos.types import UserError


@click.command()
@click.option("--model", default="", help="Model to serve; the default one otherwise.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on."
)
@click.option("--token", envvar="LLMOS_TOKEN", help="Token that clients must send; a random one by default.")
@click.option("--no-token", is_flag=True, help="Ask for no token; on this machine's own addresses only.")
@click.option(
    "--slots", default=8, show_default=True, type=click.IntRange(1, 64), help="Answers decoded together."
)
@click.option(
    "--context", default=0, type=click.IntRange(0), help="Context window in tokens, for all slots together."
)
@click.option("--embedder", default="", help="Embedding model for /v1/embeddings.")
@click.option("--host-name", "host_names", multiple=True, help="Name under which the server is reached.")
@click.option("--origin", "origins", multiple=True, help="Origin of a web page that may use the server.")
@click.option("--web", "as_page", is_flag=True, help="Show the terminal face in a browser instead.")
@click.option(
    "--mcp", "over_mcp", is_flag=True, help="Offer the plugins' tools over MCP on stdin and stdout instead."
)
@click.option("--trust-client", is_flag=True, help="With --mcp: decide its calls as your own.")
def serve(
    model: str,
    host: str,
    port: int,
    token: str | None,
    no_token: bool,
    slots: int,
    context: int,
    embedder: str,
    host_names: tuple[str, ...],
    origins: tuple[str, ...],
    as_page: bool,
    over_mcp: bool,
    trust_client: bool,
) -> None:
    """Serve the model to other programs."""
    if over_mcp:
        from llmos.serve.mcp_server import serve_stdio

        asyncio.run(serve_stdio(trust_client))
        return
    from llmos.serve.access import Access, is_loopback, new_token, with_hosts

    if no_token and not is_loopback(host):
        raise UserError(
            f"Without a token the server listens on this machine only, not on {host}; leave out --no-token."
        )
    secret = "" if no_token else (token or new_token())
    if not no_token and not secret.strip():
        raise UserError("The token is empty; leave --token out for a random one.")
    access = Access(secret, with_hosts([host, *host_names]), frozenset(origins))
    if as_page:
        _serve_page(access, model, host, port)
        return
    asyncio.run(_serve(access, model, host, port, slots, context, embedder))


def _serve_page(access: object, model: str, host: str, port: int) -> None:
    try:
        from llmos.serve.access import Access
        from llmos.serve.web import WebFace, serve_web
    except ImportError as error:
        raise UserError("The browser face needs textual-serve: pip install 'llmos[web]'.") from error
    assert isinstance(access, Access)
    token = access.token

    def started(bound: int) -> None:
        name = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
        shown = f"[{name}]" if ":" in name else name
        click.echo(f"LLMOS in a browser: http://{shown}:{bound}/" + (f"?token={token}" if token else ""))
        click.echo("Ctrl+C ends it.")

    face = WebFace(access, host, port, ("--model", model) if model else ())
    try:
        asyncio.run(serve_web(face, started))
    except OSError as error:
        raise UserError(
            f"The server cannot listen on {host}:{port} ({error.strerror}); is the port taken?"
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UserError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UserError(
            f"The server cannot listen on {host}:{port} ({error.strerror}); is the port taken? "
            "--port 0 finds a free one."
        ) from error


async def _serve(
    access: object, model: str, host: str, port: int, slots: int, context: int, embedder: str
) -> None:
    import uvicorn

    from llmos.catalog.owned import find_owned
    from llmos.kernel.client import KernelClient
    from llmos.kernel.locate import resolve
    from llmos.kernel.protocol import LoadRequest
    from llmos.serve.access import Access
    from llmos.serve.api_server import ApiServer

    assert isinstance(access, Access)
    listening = _listen(host, port)  # before the model is loaded; uvicorn would end the process
    kernel, embedding = KernelClient(), KernelClient()
    try:
        owned = find_owned(model) if model else None
        path = owned.path if owned else resolve(model).path
        info = await kernel.load(LoadRequest(path, context=context, max_sequences=slots + 2))
        embed = None
        if embedder:
            await embedding.load(LoadRequest(resolve(embedder).path, embedding=True))
            embed = embedding.embed
        app = ApiServer(kernel, slots, embed).app(access)
        config = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        task = asyncio.ensure_future(server.serve(sockets=[listening]))
        while not server.started and not task.done():
            await asyncio.sleep(0.02)
        bound = listening.getsockname()[1]
        click.echo(f"{info.name} at http://{host}:{bound}/v1 ({slots} slots, {info.context} tokens)")
        if access.token:
            click.echo(f"Token: {access.token}")
        click.echo("Ctrl+C ends it.")
        await task
    finally:
        listening.close()
        await kernel.close()
        await embedding.close()
