"""Print the schema: `python -m api.schema > schema.graphql`."""

from api.schema.root import printed

print(printed(), end="")
