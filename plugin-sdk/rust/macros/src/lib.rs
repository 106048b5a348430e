//! The `#[plugin]` attribute of `mynah-plugin`, which re-exports it: depend on that crate, not on
//! this one.
//!
//! `syn` and `quote` do the parsing and the printing. They cost a plugin's build nothing, because
//! `wit-bindgen` compiles them anyway, and they let every complaint point at the token that caused
//! it.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Error, FnArg, Item, ItemFn, PatType, ReturnType, Signature, Type, spanned::Spanned};

/// Makes a function the plugin's handler; `mynah_plugin::plugin` has the documentation.
#[proc_macro_attribute]
pub fn plugin(arguments: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = TokenStream::from(item);
    let generated = export(arguments.into(), item.clone()).unwrap_or_else(|complaint| complaint.to_compile_error());
    // The function itself stays as it was written, so that unit tests can call it and editors still
    // understand it while the export is in error.
    quote!(#item #generated).into()
}

/// The code that joins the annotated function to the component's `handle` export.
fn export(arguments: TokenStream, item: TokenStream) -> Result<TokenStream, Error> {
    let asks = match arguments.to_string().as_str() {
        "" => false,
        "ask" => true,
        _ => return Err(Error::new_spanned(arguments, "`#[plugin]` takes no arguments but `ask`")),
    };
    let function = function(item)?;
    let argument = only_argument(&function.sig)?;
    let name = &function.sig.ident;

    // The spans make the compiler point at the plugin's own argument or return type when it is not the one that is
    // wanted.
    let call = quote_spanned!(argument.ty.span()=> #name(message));
    let answer_span = match &function.sig.output {
        ReturnType::Default => Span::call_site(),
        ReturnType::Type(_, answer) => answer.span(),
    };
    let answer = quote_spanned!(answer_span=> {
        let answer = #call;
        ::mynah_plugin::IntoReply::into_reply(answer)
    });
    let answer = if asks { quote!(::mynah_plugin::__ask(message, |message| #answer)) } else { answer };
    Ok(quote! {
        const _: () = {
            use ::mynah_plugin::bindings::exports::mynah::bot::handler::Guest;

            struct Plugin;
            impl Guest for Plugin {
                fn handle(
                    message: ::mynah_plugin::Message,
                ) -> ::core::result::Result<::mynah_plugin::Reply, ::std::string::String> {
                    #answer
                }
            }

            #[cfg(target_family = "wasm")]
            ::mynah_plugin::bindings::__export_plugin!(Plugin);
            // Natively nobody calls the export, and linkers choke on its name. This checks the types
            // all the same, and counts as a use of the function.
            #[cfg(not(target_family = "wasm"))]
            const _: fn(::mynah_plugin::Message) -> ::core::result::Result<
                ::mynah_plugin::Reply,
                ::std::string::String,
            > = Plugin::handle;
        };
    })
}

/// The annotated item, if it is a function of a kind that a host can call.
fn function(item: TokenStream) -> Result<ItemFn, Error> {
    let function = match syn::parse2(item)? {
        Item::Fn(function) => function,
        other => {
            return Err(Error::new_spanned(
                other,
                "`#[plugin]` belongs on a function: `fn handle(message: Message) -> impl IntoReply`",
            ));
        }
    };
    let signature = &function.sig;
    if let Some(token) = &signature.asyncness {
        return Err(Error::new_spanned(
            token,
            "a plugin's function cannot be `async`: the host's functions are plain calls that return when they are done",
        ));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a plugin's function cannot be generic: the host calls it with one `Message`",
        ));
    }
    Ok(function)
}

/// The function's argument, if there is exactly one.
fn only_argument(signature: &Signature) -> Result<&PatType, Error> {
    let mut arguments = signature.inputs.iter();
    match (arguments.next(), arguments.next()) {
        (Some(FnArg::Typed(argument)), None) => match *argument.ty {
            Type::Reference(_) => {
                Err(Error::new_spanned(&argument.ty, "the message is the function's own: `message: Message`"))
            }
            _ => Ok(argument),
        },
        (Some(FnArg::Receiver(argument)), None) => {
            Err(Error::new_spanned(argument, "a plugin's function stands alone, outside any `impl`"))
        }
        (None, _) => Err(Error::new(
            signature.paren_token.span.join(),
            "a plugin's function takes the message: `message: Message`",
        )),
        (Some(_), Some(surplus)) => {
            Err(Error::new_spanned(surplus, "a plugin's function takes one argument, the message"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the attribute says of `item`.
    fn complaint(item: TokenStream) -> String {
        export(TokenStream::new(), item).unwrap_err().to_string()
    }

    #[test]
    fn calls_the_function_by_its_own_name() {
        let item = quote!(
            pub fn quiz(message: Message) -> impl IntoReply {}
        );
        let export = export(TokenStream::new(), item).unwrap().to_string();
        assert!(export.contains("let answer = quiz (message)"), "{export}");
    }

    #[test]
    fn accepts_a_function_that_answers_nothing() {
        assert!(
            export(
                TokenStream::new(),
                quote!(
                    fn handle(_: Message) {}
                )
            )
            .is_ok()
        );
    }

    #[test]
    fn refuses_arguments_of_its_own() {
        let complaint = export(
            quote!(name = "quiz"),
            quote!(
                fn handle(message: Message) {}
            ),
        )
        .unwrap_err()
        .to_string();
        assert_eq!(complaint, "`#[plugin]` takes no arguments but `ask`");
    }

    #[test]
    fn refuses_what_is_not_a_function() {
        assert_eq!(
            complaint(quote!(
                struct Quiz;
            )),
            "`#[plugin]` belongs on a function: `fn handle(message: Message) -> impl IntoReply`"
        );
    }

    #[test]
    fn refuses_an_async_function() {
        assert_eq!(
            complaint(quote!(
                async fn handle(message: Message) {}
            )),
            "a plugin's function cannot be `async`: the host's functions are plain calls that return when they are done"
        );
    }

    #[test]
    fn refuses_a_generic_function() {
        assert_eq!(
            complaint(quote!(
                fn handle<T>(message: T) {}
            )),
            "a plugin's function cannot be generic: the host calls it with one `Message`"
        );
    }

    #[test]
    fn refuses_a_borrowed_message_and_a_method() {
        assert_eq!(
            complaint(quote!(
                fn handle(message: &Message) {}
            )),
            "the message is the function's own: `message: Message`"
        );
        assert_eq!(
            complaint(quote!(
                fn handle(&self) {}
            )),
            "a plugin's function stands alone, outside any `impl`"
        );
    }

    #[test]
    fn refuses_any_number_of_arguments_but_one() {
        assert_eq!(
            complaint(quote!(
                fn handle() {}
            )),
            "a plugin's function takes the message: `message: Message`"
        );
        assert_eq!(
            complaint(quote!(
                fn handle(message: Message, bot: &str) {}
            )),
            "a plugin's function takes one argument, the message"
        );
    }
}
