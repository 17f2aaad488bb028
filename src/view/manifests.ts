import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { Fields, MalformedObject } from '../api/fields.ts'
import { type KnownObject, parseObject } from '../api/kinds.ts'

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
const flatten = (object: unknown): unknown[] => {
  const fields = new Fields(object)
  const isList = (fields.string('kind') ?? '').endsWith('List') && fields.has('items')
  return isList ? fields.list('items', (item) => item.value).flatMap(flatten) : [object]
}

/**
 * The objects in a YAML or JSON text of any number of documents, Lists included; kinds that no rule reads are passed over.
 * Throws ManifestError.
 */
export const parseManifests = (text: string, file: string): KnownObject[] => {
  const objects: KnownObject[] = []
  for (const document of parseAllDocuments(text)) {
    const [error] = document.errors
    const line = error?.linePos?.[0].line ?? text.slice(0, document.range[0]).split('\n').length
    if (error !== undefined) throw new ManifestError(`${file}:${line}: ${error.message.split('\n', 1)[0]}`)
    const raw: unknown = document.toJS()
    if (raw === null || raw === undefined) continue
    try {
      for (const object of flatten(raw)) {
        const known = parseObject(object)
        if (known !== undefined) objects.push(withNamespace(known))
      }
    } catch (cause) {
      if (!(cause instanceof MalformedObject)) throw cause
      throw new ManifestError(`${file}:${line}: ${cause.message}`, { cause })
    }
  }
  return objects
}

/** The objects in the manifests of a folder and those below it (.yaml, .yml, .json). Throws ManifestError. */
export const readManifests = async (folder: string): Promise<KnownObject[]> => {
  let entries: string[]
  try {
    entries = await readdir(folder, { recursive: true })
  } catch (error) {
    throw new ManifestError(`cannot read the folder ${folder}: ${(error as Error).message}`, { cause: error })
  }
  const files = entries.filter((name) => /\.(ya?ml|json)$/.test(name)).sort()
  const objects = await Promise.all(
    files.map(async (name) => {
      const file = join(folder, name)
      return parseManifests(await readFile(file, 'utf8'), file)
    }),
  )
  return objects.flat()
}
