# Reads slapos.cfg texts, one JSON string a line, and answers for each with what configparser makes of it.
# The reference's constructor call has no arguments, so neither has ours.
import configparser
import io
import json
import sys


def values(parser, section):
    result = []
    for name, raw in parser.items(section, raw=True):
        try:
            result.append([name, raw, {"value": parser.get(section, name)}])
        except configparser.InterpolationDepthError:
            result.append([name, raw, {"error": "InterpolationDepth"}])
        except configparser.InterpolationMissingOptionError:
            result.append([name, raw, {"error": "InterpolationMissingOption"}])
        except configparser.InterpolationSyntaxError:
            result.append([name, raw, {"error": "InterpolationSyntax"}])
    return result


def answer(text):
    parser = configparser.ConfigParser()
    try:
        # As open() gives a file's lines: every kind of line end becomes \n.
        parser.read_file(io.StringIO(text, newline=None))
    except configparser.MissingSectionHeaderError as e:
        return {"error": "MissingSectionHeader", "lines": [e.lineno]}
    except configparser.ParsingError as e:
        return {"error": "Parsing", "lines": [line for line, _ in e.errors]}
    except configparser.DuplicateSectionError as e:
        return {"error": "DuplicateSection", "lines": [e.lineno]}
    except configparser.DuplicateOptionError as e:
        return {"error": "DuplicateOption", "lines": [e.lineno]}
    names = parser.sections()
    return {"defaults": values(parser, "DEFAULT"), "sections": [[name, values(parser, name)] for name in names]}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))))
