import { isMap, isScalar, isSeq, LineCounter, type ParsedNode, parseDocument, visit, type Document as YAML } from 'yaml'
import type { Source, Unreadable } from './sources.ts'

/** One of the documents of a source. */
export type Document = {
  source: Source
  text: string
  /** The line of the source in which its text begins, from 1. */
  line: number
}

/** Where something stands in a source, from 1. */
export type Position = { line: number; column: number }

/** More than the API server takes of one object (apiserver pkg/server/config.go, MaxRequestBodyBytes: 3 MiB). */
const maxLength = 3 * 1024 * 1024

/**
 * Splits a source at the lines that begin a document, which nothing inside one can look like (YAML 1.2.2, 9.1.2, c-forbidden), and between
 * objects of JSON that follow each other without such a line, as `jq` prints them and kubectl reads them.
 */
export function* documentsOf(source: Source): Generator<Document> {
  const marker = /^---(?=\s|$)|^(?=\{)(?<=\}\s*)/gm
  let [start, line] = [0, 1]
  const part = (end: number): Document => ({ source, text: source.text.slice(start, end), line })
  for (const { index } of source.text.matchAll(marker)) {
    if (index === 0) continue
    const document = part(index)
    yield document
    for (let at = source.text.indexOf('\n', start); at !== -1 && at < index; at = source.text.indexOf('\n', at + 1))
      line++
    start = index
  }
  yield part(source.text.length)
}

const unreadable = ({ source, line }: Document, at: Position, problem: string): Unreadable => ({
  source: source.name,
  line: line + at.line - 1,
  column: at.column,
  problem,
})

const start: Position = { line: 1, column: 1 }

/** As kubectl reads YAML: with merge keys. What is left out takes time that grows with the square of a text's length. */
const options = { merge: true, prettyErrors: false, uniqueKeys: false } as const

/** Where two objects stand in one document, the second begins with keys that the first has. */
const markerHint = ': is --- missing between two objects?'

type Problem = { at: number; problem: string }

/** A key that no object has: a second one of its name, or one that is no text. */
const wrongKey = (parsed: YAML.Parsed): Problem | undefined => {
  let found: Problem | undefined
  visit(parsed, {
    Map: (_, { items }, { length: depth }) => {
      const names = new Set<string>()
      for (const { key } of items) {
        if (isScalar(key) && !names.has(String(key.value))) {
          names.add(String(key.value))
          continue
        }
        const [at] = (key as ParsedNode).range
        found = {
          at,
          problem: isScalar(key)
            ? `the key ${key.value} is there for the second time${depth === 1 ? markerHint : ''}`
            : 'a key must be a text',
        }
        return visit.BREAK
      }
      return undefined
    },
  })
  return found
}

/** What kept the parser from reading a document. */
const syntaxProblem = ({ errors: [error] }: YAML.Parsed): Problem | undefined => {
  if (error === undefined) return undefined
  const [at] = error.pos
  return {
    at,
    problem: error.code === 'RESOURCE_EXHAUSTION' ? 'it is nested deeper than any object is' : error.message,
  }
}

/** The value of a document; undefined where it has none. */
export const readDocument = (document: Document): { value: unknown } | Unreadable => {
  const { text } = document
  if (text.length > maxLength)
    return unreadable(document, start, `a document of ${text.length} characters: the API server takes 3 MiB at most`)
  const lines = new LineCounter()
  const parsed = parseDocument(text, { ...options, lineCounter: lines })
  const wrong = syntaxProblem(parsed) ?? wrongKey(parsed)
  if (wrong !== undefined) {
    const { line, col } = lines.linePos(wrong.at)
    return unreadable(document, { line, column: col }, wrong.problem)
  }
  try {
    return { value: parsed.toJS() }
  } catch (cause) {
    // An alias without its anchor, or more of them than any file has that was written by a person.
    return unreadable(document, start, (cause as Error).message)
  }
}

export type Path = readonly (string | number)[]

/** `spec.http[0].match` as the steps to it; `metadata.labels[istio.io/rev]` is the key of a map. */
export const stepsOf = (field: string): (string | number)[] =>
  [...field.matchAll(/\[(\d+)\]|\[([^\]]+)\]|([^.[\]]+)/g)].map(([, index, key, name]) =>
    index === undefined ? String(key ?? name) : Number(index),
  )

/** The node at a path, or the last one on the way to it. */
const nodeAt = (root: ParsedNode | null, path: Path): { node: ParsedNode | null; isWhole: boolean } => {
  let node = root
  for (const step of path) {
    const next: unknown = isMap(node) || isSeq(node) ? node.get(step, true) : undefined
    if (next === undefined || next === null) return { node, isWhole: false }
    node = next as ParsedNode
  }
  return { node, isWhole: true }
}

/** Where a value stands, the line that it is in, and how many characters of that it takes. */
export type Place = { position: Position; length: number; excerpt: string }

/** Where in a document the values at these paths stand. What is left out stands at the beginning of what it would be in. */
export const positionsOf = ({ text, line }: Document, paths: readonly Path[]): Place[] => {
  const lines = new LineCounter()
  const parsed = parseDocument(text, { ...options, lineCounter: lines })
  const all = text.split(/\r?\n/)
  return paths.map((path) => {
    const { node, isWhole } = nodeAt(parsed.contents, path)
    const [from, to] = node?.range ?? [0, 0]
    const at = lines.linePos(from)
    const position = { line: line + at.line - 1, column: at.col }
    const excerpt = all[at.line - 1] as string
    // One line of it is marked, and of what is not there but a point.
    const length = isWhole && isScalar(node) ? Math.min(to - from, excerpt.length - position.column + 1) : 1
    return { position, length: Math.max(length, 1), excerpt }
  })
}
