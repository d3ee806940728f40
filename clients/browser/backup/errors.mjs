// What can go wrong, with the codes of docs/vectors/backup-v1.json.

export class BackupError extends Error {
  /** @param {string} code stable, for programs @param {string} message for people */
  constructor(code, message) {
    super(message);
    this.name = "BackupError";
    this.code = code;
  }
}
