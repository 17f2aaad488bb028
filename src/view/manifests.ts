import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { text as textOf } from 'node:stream/consumers'
import { parseAllDocuments } from 'yaml'
import { type KnownObject, parseObject } from '../api/kinds.ts'
import { itemsOf } from '../api/list.ts'
import { asKubectlReads } from '../api/manifest-yaml.ts'

/** A manifest that cannot be read; the message names the file, the line and what is wrong. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError'
}

/** Namespaced objects without one are in this namespace, as kubectl has it. */
const defaultNamespace = 'default'

const withNamespace = (known: KnownObject): KnownObject => {
  if (known.kind === 'Namespace' || known.kind === 'IPAddress') return known
  const namespace = known.object.namespace || defaultNamespace
  return { ...known, object: { ...known.object, namespace } } as KnownObject
}

/** An object, and those inside it where it is a List. */
const flatten = (object: unknown): unknown[] => itemsOf(object)?.flatMap(flatten) ?? [object]

/**
 * The objects in a YAML or JSON text of any number of documents, Lists included; kinds that no rule reads are passed over.
 * Throws ManifestError.
 */
export const parseManifests = (text: string, file: string): KnownObject[] => {
  const objects: KnownObject[] = []
  for (const document of parseAllDocuments(text, asKubectlReads)) {
    const [error] = document.errors
    const failAt = (line: number | undefined, problem: string, options?: ErrorOptions): never => {
      const first = line ?? text.slice(0, document.range[0]).split('\n').length
      throw new ManifestError(`${file}:${first}: ${problem}`, options)
    }
    if (error !== undefined) failAt(error.linePos?.[0].line, String(error.message.split('\n', 1)[0]))
    try {
      const raw: unknown = document.toJS()
      if (raw === null || raw === undefined) continue
      for (const object of flatten(raw)) {
        const known = parseObject(object)
        if (known !== undefined) objects.push(withNamespace(known))
      }
    } catch (cause) {
      // A field of a wrong type, or an alias without its anchor.
      failAt(undefined, (cause as Error).message, { cause })
    }
  }
  return objects
}

const reading = async <T>(path: string, read: () => Promise<T>): Promise<T> => {
  try {
    return await read()
  } catch (cause) {
    throw new ManifestError(`cannot read ${path}: ${(cause as Error).message}`, { cause })
  }
}

/** The files of a folder and those below it that may be manifests (.yaml, .yml, .json); a file itself, whatever it is called. */
const manifestsAt = async (path: string): Promise<string[]> => {
  if (!(await stat(path)).isDirectory()) return [path]
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => /\.(ya?ml|json)$/.test(entry.name) && !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name))
    .sort()
}

/** The objects in a manifest, or in all manifests of a folder; `-` is the standard input. Throws ManifestError. */
export const readManifests = async (path: string): Promise<KnownObject[]> => {
  const input = 'the standard input'
  if (path === '-') return parseManifests(await reading(input, () => textOf(process.stdin)), input)
  const files = await reading(path, () => manifestsAt(path))
  const objects = await Promise.all(
    files.map(async (file) => parseManifests(await reading(file, () => readFile(file, 'utf8')), file)),
  )
  return objects.flat()
}
