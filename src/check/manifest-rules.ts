/** What is said of a manifest that holds no object to judge: no cluster sees it, so that it is none of the table's rules and no configuration bears on it. */
export type ManifestRule = {
  id: string
  /** What it finds, as one sentence. */
  finds: string
  why: string
  /** What comes of it. */
  outcome: string
}

export const manifestKind: ManifestRule = {
  id: 'manifest-kind',
  finds: 'A manifest looks like an object that rules judge, and is none.',
  why: 'Its kind or its apiVersion is misspelt: the API server refuses it, and nobody has checked what is in it.',
  outcome: 'A warning: the exit code is 1 with `--fail-on warn`.',
}

export const manifestDuplicate: ManifestRule = {
  id: 'manifest-duplicate',
  finds: 'An object has the kind, namespace and name of another one that was given.',
  why: 'There is but one of them in a cluster: what is applied last replaces what was applied before. Manifests of several clusters, as the overlays of a kustomization, are to be checked one cluster at a time.',
  outcome:
    'A warning: the exit code is 1 with `--fail-on warn`. All others are judged as if only the last one were there.',
}

export const manifestUnreadable: ManifestRule = {
  id: 'manifest-unreadable',
  finds: 'A file, a document in it, or an object in that cannot be read.',
  why: 'It is no YAML or JSON, or a field is not of the type that its kind has: nobody has checked what is in it. What was not rendered yet, such as the template of a chart, is no manifest.',
  outcome: 'The exit code is 2, whatever else was found; all others are judged as if it were not there.',
}

export const manifestRules: readonly ManifestRule[] = [manifestKind, manifestDuplicate, manifestUnreadable]
