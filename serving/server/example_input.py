"""The Input of Classify, Regress and MultiInference, as the serialized examples that a graph parses."""

import numpy as np
from tensorflow_serving.apis import input_pb2

from serving import errors


def serialized_examples(request_input: input_pb2.Input) -> np.ndarray:
    """Return a request's examples, with the context that they share.

    Returns:
        object[batch], each a serialized tf.Example.

    Raises:
        InvalidRequest: There is none.
    """
    kind = request_input.WhichOneof("kind")
    examples = getattr(request_input, kind).examples if kind else ()
    if not examples:
        raise errors.InvalidRequest("Input is empty.")
    # Messages merge where their bytes are joined: what the example has comes last, and wins.
    context = (
        request_input.example_list_with_context.context.SerializeToString()
        if kind == "example_list_with_context"
        else b""
    )
    array = np.empty(len(examples), object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array
