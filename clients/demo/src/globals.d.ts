/** The version a remote or the shell was built as (rspack DefinePlugin). */
declare const __VERSION__: string;

declare module '*.module.css' {
  const classes: Readonly<Record<string, string>>;
  export default classes;
}

declare module '*.css';
