"""Reading the text of a config that a checkpoint carries, without running it."""

import ast
from typing import Any

from nst_det.errors import UserError


def read_literals(text: str, source: str) -> dict[str, Any]:
    """Read assignments of plain values, as mmengine writes a complete config.

    A config is Python, and a checkpoint may come from a stranger: nothing of it is run.

    Args:
        text (str): The text: ``name = value`` each, where a value is made of numbers, texts, lists,
            tuples, sets and dicts, also as ``dict(…)``.
        source (str): Where the text is from, for the error.

    Returns:
        dict[str, Any]: The values by name.

    Raises:
        UserError: If it holds anything else.
    """
    values = {}
    try:
        for statement in ast.parse(text).body:
            if not isinstance(statement, ast.Assign):
                raise ValueError(f'line {statement.lineno} is no assignment')
            (target,) = statement.targets
            if not isinstance(target, ast.Name):
                raise ValueError(f'line {statement.lineno} assigns to more than a name')
            values[target.id] = _value(statement.value)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        raise UserError(
            f'the config in {source} is not made of plain values ({reason:.150}), and it is not '
            'run: give the config by --config'
        ) from error
    return values


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict):
        if None in node.keys:
            raise ValueError(f'line {node.lineno} unpacks a dict')
        pairs = zip(node.keys, node.values)
        return {_value(key): _value(value) for key, value in pairs if key is not None}
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
        return kind(_value(element) for element in node.elts)
    if isinstance(node, ast.Call):
        is_dict = isinstance(node.func, ast.Name) and node.func.id == 'dict'
        if not is_dict or node.args or any(keyword.arg is None for keyword in node.keywords):
            raise ValueError(f'line {node.lineno} calls something')
        return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords}
    return ast.literal_eval(node)
