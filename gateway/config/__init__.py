"""routes.yaml to frozen specs: text with positions, substitution, validation, every error at once. Cold and pure.

`load.load` is the way in; `options.build_options` checks a plugin's own options; `dump` and `schema` are the ways out.
"""
