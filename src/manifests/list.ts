import { Fields, MalformedObject } from '../api/fields.ts'

/**
 * The items of a List; undefined for what is none. Those of a ServiceList, as the API server sends it, do not say what they are: then its
 * own kind does (apimachinery, unstructured.go, decodeToList). Throws MalformedObject.
 */
export const itemsOf = (object: unknown): unknown[] | undefined => {
  const fields = new Fields(object)
  const kind = fields.string('kind') ?? ''
  if (!kind.endsWith('List')) return undefined
  const items = fields.raw('items') ?? []
  if (!Array.isArray(items)) throw new MalformedObject('items', 'a list')
  const itemKind = { apiVersion: fields.raw('apiVersion'), kind: kind.slice(0, -'List'.length) }
  return items.map((item: unknown) =>
    typeof item !== 'object' || item === null || 'kind' in item || 'apiVersion' in item
      ? item
      : { ...itemKind, ...item },
  )
}
