import type { KnownObject } from '../api/kinds.ts'
import { documentsOf } from '../manifests/documents.ts'
import { objectsOf } from '../manifests/objects.ts'
import { readSources, type Source, shownUnreadable, type Unreadable } from '../manifests/sources.ts'

/** A manifest that cannot be read; the message names the file, line and column, and what is wrong. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError'

  constructor(unreadable: Unreadable) {
    super(shownUnreadable(unreadable))
  }
}

/** Namespaced objects without one are in this namespace, as kubectl has it. */
const defaultNamespace = 'default'

const objectsIn = (source: Source): KnownObject[] =>
  [...documentsOf(source)].flatMap((document) => {
    const { objects, unreadable } = objectsOf(document, defaultNamespace)
    const [first] = unreadable
    if (first !== undefined) throw new ManifestError(first)
    return objects.map(({ known }) => known)
  })

/** The objects in a text of any number of documents, Lists included; kinds that no rule reads are passed over. Throws ManifestError. */
export const parseManifests = (text: string, file: string): KnownObject[] => objectsIn({ name: file, text })

/** The objects in a manifest, or in all manifests of a folder; `-` is the standard input. Throws UsageError and ManifestError. */
export const readManifests = async (path: string): Promise<KnownObject[]> => {
  const objects: KnownObject[] = []
  for await (const source of readSources([path], process.stdin)) {
    if (!('name' in source)) throw new ManifestError(source)
    objects.push(...objectsIn(source))
  }
  return objects
}
