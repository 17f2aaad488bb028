import { Fields, type MalformedObject } from '../api/fields.ts'
import { type KnownObject, kinds, parseObject } from '../api/kinds.ts'
import { type Document, type Path, type Place, positionsOf, readDocument, stepsOf } from './documents.ts'
import { itemsOf } from './list.ts'
import type { Unreadable } from './sources.ts'

/** An object that rules judge or ask about, and where it stands. */
export type Located = { known: KnownObject; document: Document; path: Path }

/** What looks like one of the objects that rules judge, and is none: nobody would look at it. */
export type NearMiss = { document: Document; path: Path; problem: string; fix: string }

/** What a document turns out to be. */
export type Found = { objects: Located[]; nearMisses: NearMiss[]; unreadable: Unreadable[] }

/** Whether two texts are one slip apart: a letter is left out, put in, or another, or two have changed places. */
const isSlip = (a: string, b: string): boolean => {
  if (Math.abs(a.length - b.length) > 1) return false
  let same = 0
  while (same < Math.min(a.length, b.length) && a[same] === b[same]) same++
  const [restA, restB] = [a.slice(same), b.slice(same)]
  const isSwapped = restA[0] === restB[1] && restA[1] === restB[0] && restA.slice(2) === restB.slice(2)
  return isSwapped || restA.slice(1) === restB.slice(1) || restA.slice(1) === restB || restA === restB.slice(1)
}

const isNear = (written: string, meant: string): boolean =>
  written !== meant && (written.toLowerCase() === meant.toLowerCase() || (meant.length > 4 && isSlip(written, meant)))

/** What a kind and apiVersion were probably meant to be; undefined where they are something else altogether. */
const nearMissOf = (apiVersion: string, kind: string): Omit<NearMiss, 'document' | 'path'> | undefined => {
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : ''
  for (const [name, { group: meant, version }] of Object.entries(kinds)) {
    const isKind = kind === name
    const isGroup = group === meant
    if (isKind ? isNear(group, meant) : isGroup && isNear(kind, name)) {
      const api = meant === '' ? version : `${meant}/${version}`
      return {
        problem: `there is no kind ${kind} in ${apiVersion}`,
        fix: `write apiVersion: ${isGroup ? apiVersion : api} and kind: ${name}`,
      }
    }
  }
  return undefined
}

const inNamespace = (known: KnownObject, namespace: string): KnownObject =>
  kinds[known.kind].namespaced
    ? ({ ...known, object: { ...known.object, namespace: known.object.namespace || namespace } } as KnownObject)
    : known

/** What whoever reads a template instead of what it renders can do. */
const templateHint = ': is it a template? Check what it renders, as in helm template CHART | meshvip check -'

/** The objects of a document, those in Lists included; an object without a namespace is in the one that is given. */
export const objectsOf = (document: Document, namespace: string): Found => {
  const found: Found = { objects: [], nearMisses: [], unreadable: [] }
  const malformed: { path: Path; problem: string }[] = []
  const take = (value: unknown, path: Path): void => {
    const items = itemsOf(value)
    if (items !== undefined) {
      for (const [index, item] of items.entries()) tryToTake(item, [...path, 'items', index])
      return
    }
    const known = parseObject(value)
    if (known !== undefined) {
      found.objects.push({ known: inNamespace(known, namespace), document, path })
      return
    }
    const fields = new Fields(value)
    const nearMiss = nearMissOf(fields.string('apiVersion') ?? '', fields.string('kind') ?? '')
    if (nearMiss !== undefined) found.nearMisses.push({ document, path, ...nearMiss })
  }
  // One that is malformed hides none of the others in its List.
  const tryToTake = (value: unknown, path: Path): void => {
    try {
      take(value, path)
    } catch (error) {
      const { field, message } = error as MalformedObject
      malformed.push({ path: [...path, ...stepsOf(field)], problem: message })
    }
  }
  const read = readDocument(document)
  if (!('value' in read)) found.unreadable.push(read)
  else if (read.value !== null && read.value !== undefined) tryToTake(read.value, [])
  if (malformed.length > 0) {
    const places = positionsOf(
      document,
      malformed.map(({ path }) => path),
    )
    for (const [index, { problem }] of malformed.entries())
      found.unreadable.push({ source: document.source.name, ...(places[index] as Place).position, problem })
  }
  const hint = document.text.includes('{{') ? templateHint : ''
  return { ...found, unreadable: found.unreadable.map((one) => ({ ...one, problem: `${one.problem}${hint}` })) }
}
